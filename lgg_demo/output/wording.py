"""Words, numbers and units in a language, as a page of the report has them."""

from __future__ import annotations

from lgg_demo.messages import Language, say
from lgg_demo.output.paper import NO_BREAK
from lgg_demo.rounding import rounded


class Wording:
    """How a report speaks in a language; what is not known is a dash."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def say(self, key: str, **values: object) -> str:
        """A sentence of the catalogue."""
        return say(key, self.language, **values)

    def number(self, value: float | None, digits: int = 3) -> str:
        """A number with so many decimals."""
        if value is None:
            return "–"
        said = f"{rounded(value, digits):.{digits}f}"
        return said.replace(".", ",") if self.language == "fr" else said

    def signed(self, value: float | None, digits: int = 1) -> str:
        """A number with its sign, a minus as print has it."""
        if value is None:
            return "–"
        return ("+" if value > 0 else "−" if value < 0 else "") + self.number(abs(value), digits)

    def unit(self, value: float | None, unit: str, digits: int = 1) -> str:
        """A number with its unit."""
        return "–" if value is None else f"{self.number(value, digits)}{NO_BREAK}{unit}"

    def volume(self, value: float | None) -> str:
        """A volume in mL, with more decimals where it is small."""
        return self.unit(value, "mL", 2 if value is not None and value < 1 else 1)
