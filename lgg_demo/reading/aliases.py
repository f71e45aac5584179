"""Files out of zips lie on the disk under numbers, as their names may be patients'; what is said of them has the names.

Readers know the alias alone, and `named` puts the names back into whatever leaves the reading half.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TypeVar

from lgg_demo.case import Case, Notice, ReadError
from lgg_demo.messages import Sentence
from lgg_demo.reading.limits import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES, OTHER_VOLUMES

E = TypeVar("E")
# Readers go by these; any other ending may be part of a name.
_ENDINGS = sorted(
    (*NIFTI_SUFFIXES, *DICOM_SUFFIXES, *IMAGE_SUFFIXES, *OTHER_VOLUMES, ".json", ".gz"), key=len, reverse=True
)


class Aliases:
    """The aliases of one walk. They sort as the files were asked for."""

    def __init__(self) -> None:
        self._mark = f"zip{secrets.token_hex(6)}n"
        self._alias = re.compile(rf"{self._mark}\d{{6}}")
        self._stems: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The name that a file gets on the disk."""
        if name == "report.json":  # that of an earlier run tells what else it wrote
            return name
        ending = next((e for e in _ENDINGS if name.lower().endswith(e)), "")
        alias = f"{self._mark}{len(self._stems):06d}"
        self._stems[alias] = name[: len(name) - len(ending)]
        return alias + name[len(name) - len(ending) :]

    def _text(self, text: str) -> str:
        return self._alias.sub(lambda match: self._stems.get(match[0], ""), text)

    def sentence(self, sentence: Sentence) -> Sentence:
        """The same with the files' own names."""
        values = {k: self._text(v) if isinstance(v, str) else v for k, v in sentence.values.items()}
        return replace(sentence, values=values)

    def named(self, event: E) -> E:
        """The same with the files' own names."""
        if not self._stems:
            return event
        if isinstance(event, ReadError | Notice):
            return type(event)(self._text(event.file), event.sentence.key, **self.sentence(event.sentence).values)
        if isinstance(event, Case):
            warnings = tuple(map(self.sentence, event.warnings))
            return replace(event, warnings=warnings, reference_warnings=tuple(map(self.sentence, event.reference_warnings)))
        return event
