"""The catalogue: both languages whole, every key in use, every key that is used there."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from pathlib import Path

import pytest

from lgg_demo import messages
from lgg_demo.messages import CATALOGUE, VIEWER_KEYS, Sentence, say
from lgg_demo.page import app

SOURCES = [p for p in sorted(Path(app.__file__).parents[1].rglob("*.py")) if p.parent.name != "messages"]
FOLDER = Path(messages.__file__).parent
VIEWER = app.viewer_script()
# Keys the viewer puts together from a name: of a panel, a dial, a channel, a tool.
PUT_TOGETHER = ("layout_", "side_", "tools_", "panel_", "dial_", "channel_", "tip_", "previous_finding", "next_finding")
# The place of the key among the arguments of what makes a sentence.
MAKERS = {
    "Sentence": 0, "say": 0, "refusal": 0, "said": 0, "ReadError": 1, "Notice": 1, "named": 1,
}  # fmt: skip
OF_A_FILE = ("ReadError", "Notice")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def calls() -> list[tuple[str, str, set[str] | None]]:
    """(where, key, names of the values) of each call with a key written out; None where values come as a mapping."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in MAKERS:
                continue
            place = MAKERS[node.func.id]
            if len(node.args) <= place or not isinstance(node.args[place], ast.Constant):
                continue
            names: set[str] | None = {k.arg for k in node.keywords if k.arg}
            if node.func.id in OF_A_FILE:
                names = {"file", *(k.arg for k in node.keywords if k.arg)}
            elif node.func.id == "Sentence" and len(node.args) > 1:
                values = node.args[1]
                literal = isinstance(values, ast.Dict) and None not in values.keys  # `**` has no key
                names = {k.value for k in values.keys if isinstance(k, ast.Constant)} if literal else None
            elif node.func.id == "named":  # a component and the key of its label
                names = set()
            found.append((f"{path.name}:{node.lineno}", node.args[place].value, names))
    return found


def written_out() -> set[str]:
    """Keys that stand anywhere else in the package's code: chosen between two, or kept to be said later."""
    sources = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    constants = (n.value for source in sources for n in ast.walk(source) if isinstance(n, ast.Constant))
    return {value for value in constants if isinstance(value, str) and value in CATALOGUE}


def viewer_keys() -> set[str]:
    """Keys the viewer asks for, written out."""
    return set(re.findall(r'\bsay\("(\w+)"', VIEWER))


@pytest.mark.parametrize("key", CATALOGUE)
def test_both_languages_say_the_same(key: str) -> None:
    entry = CATALOGUE[key]
    assert set(entry) == {"en", "fr"}
    assert all(text == text.strip() != "" for text in entry.values())
    assert placeholders(entry["en"]) == placeholders(entry["fr"])
    values = {name: 1000 + n for n, name in enumerate(placeholders(entry["en"]))}
    for language in ("en", "fr"):
        text = say(key, language, **values)
        assert all(str(value) in text for value in values.values()) and "{" not in text


def test_both_files_group_the_sentences_alike() -> None:
    english, french = (tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")) for language in ("en", "fr"))
    assert {table: list(keys) for table, keys in english.items()} == {table: list(keys) for table, keys in french.items()}
    assert sum(map(len, english.values())) == len(CATALOGUE), "no key in two tables"


@pytest.mark.parametrize("key", [k for k in CATALOGUE if " " in CATALOGUE[k]["fr"]])
def test_french_typography(key: str) -> None:
    text = say(key, "fr", **dict.fromkeys(placeholders(CATALOGUE[key]["fr"]), 2))
    assert "'" not in text  # ’
    assert not re.search(r"\S[:;!?»]|«\S", text)


def test_there_are_calls_to_check() -> None:
    assert {where.split(":")[0] for where, _, _ in calls()} >= {"archive.py", "references.py", "report.py", "app.py"}
    assert len(calls()) > 40 and len(viewer_keys()) > 5


@pytest.mark.parametrize(("where", "key", "names"), calls(), ids=[f"{w} {k}" for w, k, _ in calls()])
def test_used_key_exists_and_gets_its_values(where: str, key: str, names: set[str] | None) -> None:
    assert key in CATALOGUE, where
    if names is not None:
        assert names == placeholders(CATALOGUE[key]["en"]), where


def test_viewer_has_the_keys_it_asks_for() -> None:
    assert viewer_keys() <= set(VIEWER_KEYS) <= set(CATALOGUE)
    assert len(set(VIEWER_KEYS)) == len(VIEWER_KEYS)


def test_no_key_is_left_over() -> None:
    used = written_out() | set(VIEWER_KEYS) | set(app.PHANTOMS)
    used |= {f"choose_{role}" for role in app.CHOICES} | {"choose_info"}
    assert sorted(set(CATALOGUE) - used) == []
    spoken = {key for key in VIEWER_KEYS if f'"{key}"' in VIEWER or key.startswith(PUT_TOGETHER)}
    assert sorted(set(VIEWER_KEYS) - spoken) == []


def test_str_is_english_and_values_are_never_templates() -> None:
    sentence = Sentence("not_found", {"file": "{types}{0}%s"})
    assert str(sentence) == sentence.say("en")
    assert str(sentence).startswith("{types}{0}%s: ")


def test_unknown_key_and_missing_value_do_not_pass() -> None:
    with pytest.raises(KeyError):
        say("no_such_key", "en")
    with pytest.raises(KeyError):
        say("not_found", "en")


@pytest.mark.parametrize(
    ("count", "english", "french"),
    [
        (0, "found for 0 slices.", "trouvée pour 0 coupe."),
        (1, "found for 1 slice.", "trouvée pour 1 coupe."),
        (2, "found for 2 slices.", "trouvée pour 2 coupes."),
    ],
)
def test_words_go_with_their_number(count: int, english: str, french: str) -> None:
    assert say("scored", "en", slices=count).endswith(english)
    assert say("scored", "fr", slices=count).endswith(french)


def test_no_plural_is_put_in_brackets() -> None:
    assert [key for key, entry in CATALOGUE.items() if re.search(r"\w\(e?s\)", "".join(entry.values()))] == []


def test_numbers_have_the_language_s_decimal_sign() -> None:
    said = Sentence("plane_coronal", {"file": "a.nii", "mm": 5.25})
    assert "5.25 mm" in said.say("en") and "5,25 mm" in said.say("fr") and "a.nii" in said.say("fr")
    assert " 5 mm" in Sentence("plane_coronal", {"file": "a.nii", "mm": 5.0}).say("en")
