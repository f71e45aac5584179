"""What the server keeps of a tab between two clicks, and how much of it over all tabs."""

from __future__ import annotations

import html
import secrets
import threading
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from lgg_demo.case import Listed, Notice, ReadError, Role, Visit
from lgg_demo.messages import Language, Sentence, say
from lgg_demo.output.result import Result
from lgg_demo.output.timeline import Pair
from lgg_demo.reading.plan import REGISTER
from lgg_demo.registration import Registration

# Of all sessions' results: the process idles at 0.8 to 1 GB, and a case at hand takes the rest of 2 GB.
KEEP_BYTES = 300 * 2**20
INSTANCE_BYTES = 16_000  # of a kept DICOM header
REGISTRATION_BYTES = 1_000
CHOICES: tuple[Role, ...] = ("flair", "pre", "post")  # the roles that a user may give to other sequences
IGNORED = ""  # instead of a role
# Warnings that say what was understood, not that anything is doubtful.
NOTES = ("colour_as_sequences", "sequence_registered")
LANGUAGES: list[tuple[str, Language]] = [("English", "en"), ("Français", "fr")]


class Held(Protocol):
    """The files of the study that is open, while they may be read again."""

    def reading(self) -> AbstractContextManager[list[Path]]:
        """Their paths."""

    def delete(self) -> None:
        """Delete what of them is the user's."""


class Kept:
    """The arrays of one session's result, which go when newer ones of other sessions need the memory.

    results: what masks and scores need; pictures: what the viewer shows of each, (S, H, W) uint8, for the page to print.
    registered: how scans of one patient's visits lie to each other, as far as anybody has asked; None where that cannot be
    known. shared: all this is there anyhow, for all sessions. dropped: they were there, and had to go.
    """

    def __init__(
        self,
        results: tuple[Result, ...] = (),
        pictures: tuple[np.ndarray, ...] = (),
        registered: Mapping[Pair, Registration | None] | None = None,
        shared: bool = False,
    ) -> None:
        self.results = results
        self.pictures = pictures
        self.registered = dict(registered or {})
        self.dropped = False
        self._shared = {id(a) for a in self.arrays} if shared else set[int]()
        self._shared_pairs = len(self.registered) if shared else 0

    @property
    def arrays(self) -> list[np.ndarray]:
        """All there are."""
        of_results = [a for r in self.results for a in (r.probability, r.reference, r.referenced, r.edits) if a is not None]
        return [*of_results, *self.pictures]

    @property
    def size(self) -> int:
        """Bytes that are free once this is dropped, about."""
        headers = sum(len(r.instances) for r in self.results)
        pairs = len(self.registered) - self._shared_pairs
        beside = headers * INSTANCE_BYTES + max(0, pairs) * REGISTRATION_BYTES
        return sum(a.nbytes for a in self.arrays if id(a) not in self._shared) + beside

    def drop(self) -> None:
        """Free the memory."""
        self.results, self.pictures, self.registered, self.dropped = (), (), {}, True


class Memory:
    """All that is kept, so that it stays below a number of bytes; what nobody refers to any more is not counted."""

    def __init__(self, most: int = KEEP_BYTES) -> None:
        self.most = most
        self._kept: list[weakref.ref[Kept]] = []  # longest unused first
        self._lock = threading.Lock()

    def used(self, kept: Kept) -> None:
        """That this is the one used last; the longest unused ones are dropped where it is too much by now."""
        with self._lock:
            alive = [k for ref in self._kept if (k := ref()) is not None and k is not kept and k.size]
            alive.append(kept)
            size = sum(k.size for k in alive)
            while size > self.most and len(alive) > 1:  # its user waits for the newest, however large it is
                oldest = alive.pop(0)
                size -= oldest.size
                oldest.drop()
            self._kept = [weakref.ref(k) for k in alive]


class _Line(NamedTuple):
    """One of the messages. kind: how grave. offer: data of the button that registers the sequences of its study."""

    kind: str
    said: Sentence
    offer: Mapping[str, object] | None = None

    def item(self, language: Language) -> str:
        """As an item of an HTML list."""
        text = html.escape(self.said.say(language))
        if self.offer is not None:
            data = " ".join(f'data-{key}="{html.escape(str(value))}"' for key, value in self.offer.items())
            text += f'<button type="button" {data}>{html.escape(say("register_sequences", language))}</button>'
        return f'<li class="{self.kind}">{text}</li>'


class NoSuchChoice(Exception):
    """A choice that names no study, series or role of this session."""


class NoFlair(Exception):
    """A choice that would leave a study without FLAIR."""


@dataclass(frozen=True)
class Roles:
    """The volumes of one study, whose names are no other study's, and the name of the one that plays each role.

    masks: its reference, or what was said not to be; the role of those is None.
    """

    sequences: tuple[Listed, ...]
    chosen: Mapping[str, str]
    masks: tuple[Listed, ...] = ()

    @property
    def names(self) -> set[str]:
        return {s.name for s in (*self.sequences, *self.masks)}

    @property
    def open(self) -> bool:
        """Whether there is anything to choose: among several sequences, or whether a mask is the reference."""
        return len(self.names) > 1

    def role_of(self, name: str) -> str:
        """What a volume is taken for, IGNORED where it is for nothing."""
        if any(m.name == name and m.role == "mask" for m in self.masks):
            return "mask"
        return next((role for role, own in self.chosen.items() if own == name), IGNORED)

    def with_role(self, name: str, role: str, mask: str | None) -> dict[str, str]:
        """The roles, each with a name or none, after a volume was given one of them, or IGNORED; REGISTER changes none.

        mask: the name of the reference that was chosen before, if one was.
        """
        choice: dict[str, str] = {r: self.chosen.get(r, "") for r in CHOICES}
        if mask is not None:
            choice["mask"] = mask
        if role == REGISTER:
            return choice
        before = self.role_of(name)
        if before != IGNORED:
            choice[before] = choice.get(role, "") if before in CHOICES and role in CHOICES else ""
        if role != IGNORED:
            choice[role] = name
        return choice


@dataclass(frozen=True)
class Session:
    """What one tab keeps between two clicks.

    problems: of the scan's files, notices: what of them was left out; reference_problems: of the masks given last.
    studies: of each case what it was read from, None for pictures. choices: what the user has chosen for some of them, role
    to name or to nothing, the latest last. files: those that it may be read from anew for as long as it is kept, where no
    user sent them. visits: of each case, where the user has said them instead of the files. synthetic: the images are of no
    real person. identity: a random name for the result, never derived from a file.
    """

    kept: Kept = field(default_factory=Kept)
    problems: tuple[ReadError, ...] = ()
    notices: tuple[Notice, ...] = ()
    reference_problems: tuple[ReadError, ...] = ()
    done: tuple[Sentence, ...] = ()
    studies: tuple[Roles | None, ...] = ()
    choices: tuple[Mapping[str, str], ...] = ()
    files: Held | None = None
    visits: tuple[Visit | None, ...] = ()
    synthetic: bool = False
    identity: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def results(self) -> tuple[Result, ...]:
        return self.kept.results

    @property
    def open(self) -> bool:
        """Whether there is anything to choose in one of the studies."""
        return any(study is not None and study.open for study in self.studies)

    def choose(self, study: int, name: str, role: str) -> tuple[Mapping[str, str], ...]:
        """The choices, each of one study, with another: a role, or IGNORED, for a volume of one, or REGISTER, whichever of
        its volumes is named; the other studies' stay.

        A sequence changes places with the one that has had the role: none plays two. Raises NoSuchChoice and NoFlair.
        """
        of = self.studies[study] if 0 <= study < len(self.studies) else None
        if of is None or name not in of.names or role not in (*CHOICES, "mask", REGISTER, IGNORED):
            raise NoSuchChoice
        earlier = next((c for c in self.choices if of.names & set(c.values())), {})
        choice = of.with_role(name, role, earlier.get("mask"))
        if not choice["flair"]:
            raise NoFlair
        if role == REGISTER or REGISTER in earlier:
            choice[REGISTER] = choice["flair"]
        return (*(c for c in self.choices if not of.names & set(c.values())), choice)

    def messages(self) -> str:
        """What went wrong, what to beware of and what was done, as an HTML list in each language.

        The page shows one of them: a run that began before the switch was turned still speaks the other language then.
        """
        lines = [_Line("problem", p.sentence) for p in (*self.problems, *self.reference_problems)]
        lines += [_Line("warning", n.sentence) for n in self.notices]
        for number in range(len(self.results)):
            lines += self._told_of(number)
        lines += [_Line("done", s) for s in self.done]

        def listed(language: Language) -> str:
            return f'<ul lang="{language}">{"".join(line.item(language) for line in lines)}</ul>'

        return "".join(listed(language) for _, language in LANGUAGES) if lines else ""

    def _told_of(self, number: int) -> list[_Line]:
        """What is to be known of one result; beside the last of its sequences that have moved the offer to register them,
        where the files are held.
        """
        result = self.results[number]
        of = self.studies[number] if number < len(self.studies) else None
        lines = [_Line("note" if s.key in NOTES else "warning", s) for s in (*result.warnings, *result.reference_warnings)]
        moved = [n for n, line in enumerate(lines) if line.said.key == "sequence_moved"]
        if moved and of is not None and of.open:
            offer = {"study": number, "series": of.chosen["flair"]}
            lines[moved[-1]] = lines[moved[-1]]._replace(offer=offer)
        return lines
