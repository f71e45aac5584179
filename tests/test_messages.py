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
from lgg_demo.page import blocks

FOLDER = Path(messages.__file__).parent
SOURCES = [p for p in sorted(FOLDER.parent.rglob("*.py")) if p.parent != FOLDER]
VIEWER = blocks.viewer_script()
# Keys the viewer puts together from a name: of a panel, a dial, a channel, a tool, a side.
PUT_TOGETHER = (
    "layout_", "tools_", "side_", "panel_", "dial_", "channel_", "tip_", "use_", "previous_finding", "next_finding",
    "drop_", "choose_", "folder_", "again_", "run_", "role_", "visit_", "growth_", "rano_",
)  # fmt: skip
# The place of the key among the arguments of what makes a sentence; those with 1 name a file first.
MAKERS = {"Sentence": 0, "say": 0, "refusal": 0, "said": 0, "DicomError": 0, "ReadError": 1, "Notice": 1}


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
            names: set[str] | None = {"file"} if place else set()
            names |= {k.arg for k in node.keywords if k.arg}
            if node.func.id == "Sentence" and len(node.args) > 1:
                values = node.args[1]
                literal = isinstance(values, ast.Dict) and None not in values.keys  # `**` has no key
                names = {k.value for k in values.keys if isinstance(k, ast.Constant)} if literal else None
            found.append((f"{path.name}:{node.lineno}", node.args[place].value, names))
    return found


def test_both_languages_say_the_same_and_hold_what_they_are_given() -> None:
    english, french = (tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")) for language in ("en", "fr"))
    assert {table: list(keys) for table, keys in english.items()} == {table: list(keys) for table, keys in french.items()}
    assert sum(map(len, english.values())) == len(CATALOGUE), "no key in two tables"
    for key, entry in CATALOGUE.items():
        assert placeholders(entry["en"]) == placeholders(entry["fr"]), key
        values = {name: 1000 + n for n, name in enumerate(placeholders(entry["en"]))}
        for language in ("en", "fr"):
            assert entry[language].strip() == entry[language] != "", key
            text = say(key, language, **values)
            assert all(str(value) in text for value in values.values()) and "{" not in text, key
            assert not re.search(r"\w\(e?s\)", text), f"{key}: a plural in brackets"


def test_french_typography() -> None:
    for key, entry in CATALOGUE.items():
        text = say(key, "fr", **dict.fromkeys(placeholders(entry["fr"]), 2))
        assert "'" not in text, key  # ’
        assert " " not in text or not re.search(r"\S[:;!?»]|«\S| [:;!?»]|« ", text.replace("\N{NO-BREAK SPACE}", "\t")), key


def test_used_keys_exist_and_get_their_values() -> None:
    assert {where.split(":")[0] for where, _, _ in calls()} >= {"archive.py", "references.py", "report.py", "handlers.py"}
    for where, key, names in calls():
        assert key in CATALOGUE, where
        assert names is None or names == placeholders(CATALOGUE[key]["en"]), where


def test_viewer_has_the_keys_it_asks_for_and_no_others() -> None:
    asked = set(re.findall(r'\bsay\("(\w+)"', VIEWER))
    assert len(asked) > 5 and asked <= set(VIEWER_KEYS)
    spoken = {key for key in VIEWER_KEYS if f'"{key}"' in VIEWER or key.startswith(PUT_TOGETHER)}
    assert sorted(set(VIEWER_KEYS) - spoken) == []


def test_no_key_is_left_over() -> None:
    """Written out anywhere in the code: said at once, chosen between two, or kept to be said later."""
    nodes = (n for path in SOURCES for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    used = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    used |= {*VIEWER_KEYS}
    assert sorted(set(CATALOGUE) - used) == []


def test_str_is_english_and_values_are_never_templates() -> None:
    sentence = Sentence("not_found", {"file": "{types}{0}%s"})
    assert str(sentence) == sentence.say("en")
    assert str(sentence).startswith("{types}{0}%s: ")


@pytest.mark.parametrize("key", ["no_such_key", "not_found"])
def test_unknown_key_and_missing_value_do_not_pass(key: str) -> None:
    with pytest.raises(KeyError):
        say(key, "en")


@pytest.mark.parametrize(
    ("count", "english", "french"),
    [
        (0, "found for 0 slices.", "trouvée pour 0 coupe."),
        (1, "found for 1 slice.", "trouvée pour 1 coupe."),
        (2, "found for 2 slices.", "trouvée pour 2 coupes."),
        (1_000_000, "found for 1000000 slices.", "trouvée pour 1000000 coupes."),
    ],
)
def test_words_go_with_their_number(count: int, english: str, french: str) -> None:
    assert say("scored", "en", slices=count).endswith(english)
    assert say("scored", "fr", slices=count).endswith(french)


def test_numbers_have_the_language_s_decimal_sign() -> None:
    said = Sentence("plane_coronal", {"file": "a.nii", "mm": 5.25})
    assert "5.25 mm" in said.say("en") and "5,25 mm" in said.say("fr") and "a.nii" in said.say("fr")
    assert " 5 mm" in Sentence("plane_coronal", {"file": "a.nii", "mm": 5.0}).say("en")
