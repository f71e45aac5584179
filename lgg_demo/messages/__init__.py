"""Every sentence a user may read: `en.toml` and `fr.toml` hold it under the same key, in tables of who says it.

A placeholder is the name of a value, `{mm}`, or a count with the words that agree with it, `{slices:slice|slices}`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, get_args

from babel import Locale
from babel.numbers import format_decimal

Language = Literal["en", "fr"]


@dataclass(frozen=True)
class Sentence:
    """A key of the catalogue with its values; `str` gives English."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.say("en")

    def say(self, language: Language) -> str:
        """The sentence in a language. Raises KeyError for an unknown key or a missing value."""
        return CATALOGUE[self.key][language].format(**{k: _Written(v, language) for k, v in self.values.items()})


@dataclass(frozen=True)
class _Written:
    """A value as a sentence has it: a float with the language's decimal sign, a count with its singular or plural."""

    value: Any
    language: Language

    def __format__(self, words: str) -> str:
        value, text = self.value, str(self.value)
        if isinstance(value, float):
            text = format_decimal(value, locale=self.language, group_separator=False)
        if not words:
            return text
        singular, plural = words.split("|")
        return f"{text} {singular if Locale(self.language).plural_form(value) == 'one' else plural}"


def say(key: str, language: Language, **values: object) -> str:
    """A sentence of the catalogue in a language."""
    return Sentence(key, values).say(language)


def _tables(language: Language) -> dict[str, dict[str, str]]:
    text = resources.files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    if language == "fr":  # a no-break space before these marks and inside quotes: here, where no hand forgets it
        text = re.sub(r" (?=[:;!?»])|(?<=«) ", "\N{NO-BREAK SPACE}", text)
    return tomllib.loads(text)


_TABLES = {language: _tables(language) for language in get_args(Language)}
CATALOGUE: dict[str, dict[Language, str]] = {
    key: {language: tables[table][key] for language, tables in _TABLES.items()}
    for table, sentences in _TABLES["en"].items()
    for key in sentences
}
VIEWER_KEYS = tuple(_TABLES["en"]["viewer"])  # what the viewer says itself
