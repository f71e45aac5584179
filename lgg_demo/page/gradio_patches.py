"""All that the page needs of Gradio beyond its documented interface, in one place.

Each piece says what in Gradio would make it needless. `tests/page/test_gradio_patches.py` fails where another version of
Gradio has changed what is relied on here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread
import gradio as gr
from fastapi import HTTPException, Request
from gradio import queueing, routes, state_holder
from gradio.context import LocalContext
from gradio.route_utils import GradioMultiPartParser
from gradio.server_messages import ProgressMessage, ProgressUnit
from gradio.state_holder import SessionState, StateHolder

from lgg_demo.messages import Language, say
from lgg_demo.page.allocator import give_back
from lgg_demo.page.faults import ClientLeft, NotOurs, TooLong, language_of, log, refusal, verdict
from lgg_demo.page.uploads import NotAnUpload, UploadFolder

KEEP_SECONDS = 3600  # a session's result
LINE = 500  # requests that wait; each costs its upload on the disk, and next to nothing in memory
REQUEST_SECONDS = 600  # that one is worked on, not counting what it waits
UNHEARD_SECONDS = 60  # after which one who asked, and does not listen to the answer, has left
SESSIONS = 1000  # tabs whose state is kept at a time

# Gradio leaves an empty file in its folder for each file it is given; only the path is wanted. Needless once
# `gr.File(type="filepath")` makes no temporary file.
gr.File._process_single_file = lambda self, f: f.path


# It downloads what a client gives as an address, copies what lies elsewhere, and notes every path, hence every file's name,
# for as long as it runs. Uploads are checked by `PageBlocks`, and what the API returns lies where it is served from.
# Needless once a component can be told to take and to give files where they lie.
async def _as_it_lies_async(self: gr.File, path: str | Path | None) -> str | None:
    return None if path is None else str(path)


gr.File.async_move_resource_to_block_cache = _as_it_lies_async
gr.File.move_resource_to_block_cache = lambda self, path: None if path is None else str(path)


class NothingKept(dict[Any, Any]):
    """A dictionary that drops what it is given."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class OwnState(SessionState):
    """A session without a copy of the page, 0.2 MB, and of what each component showed last, pictures and downloads too.

    Only deep links would read it. Needless once that can be switched off.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        super().__init__(blocks)
        self.config_values = NothingKept()

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


state_holder.SessionState = OwnState


class Sessions(StateHolder):
    """Gradio's sessions, of which nothing is left an hour after their last use.

    Needless once Gradio, which deletes the states of such a session, deletes the session as well.
    """

    def delete_all_expired_state(self) -> None:
        super().delete_all_expired_state()
        for session, used in list(self.time_last_used.items()):
            if datetime.now() - used > timedelta(seconds=KEEP_SECONDS):
                self.delete_state(session)
                self.session_data.pop(session, None)
                self.time_last_used.pop(session, None)


routes.StateHolder = Sessions


class Stop:
    """What a running handler asks again and again: whether its client has left, or its `REQUEST_SECONDS` are over.

    Made in the handler, whose request it is of; outside a server it is for the time alone. Needless once Gradio tells a
    running function that it was cancelled.
    """

    def __init__(self) -> None:
        self._end = time.monotonic() + REQUEST_SECONDS
        blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
        self._id = event_id
        self._events: dict[str | None, Any] = blocks._queue.event_ids_to_events if blocks is not None and event_id else {}
        self._event = self._events.get(event_id)

    @property
    def left(self) -> bool:
        """A closed tab marks its events; one that was cancelled is taken off the list while its thread runs on."""
        return self._event is not None and not (self._event.alive and self._events.get(self._id) is self._event)

    def over(self) -> bool:
        """Whether to stop."""
        return self.left or time.monotonic() > self._end

    def __call__(self) -> None:
        """Raises ClientLeft or TooLong."""
        if self.left:
            raise ClientLeft
        if self.over():
            raise TooLong


def paths_in(value: Any) -> Iterator[Any]:
    """The paths of the files in what a client sent, whatever else that is."""
    if isinstance(value, dict):
        yield value.get("path")
    elif isinstance(value, list):
        for one in value:
            yield from paths_in(one)


class Line(queueing.Queue):
    """Gradio's queue, which says in the user's language how many wait, and drops whoever does not listen.

    Needless once Gradio translates what it says of the queue and ends the requests of a client that has left it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unheard: dict[str, float] = {}  # since when a session's messages have had no listener
        self.ANALYTICS_MAX_EVENTS = 0

    def compute_analytics_summary(self, records: Any) -> Any:
        """Nothing: nobody may ask for it (`enable_monitoring`), and it takes longer with every request."""
        return self.cached_event_analytics_summary

    async def push(self, body: Any, request: Request, username: str | None) -> Any:
        language = language_of(request)
        if body.fn_index not in self.blocks.fns or not isinstance(body.data, list):
            raise HTTPException(400, say("request_refused", language))
        if len(self) >= LINE:
            # Another status than 503, for which every client of Gradio has English of its own; the page asks again.
            self.blocks.folder.still_wanted(paths_in(body.data))
            raise HTTPException(429, say("line_full", language, waiting=len(self)))
        self.unheard.pop(body.session_hash or "", None)  # who asks is about to listen
        return await super().push(body, request, username)

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        super().broadcast_estimations(concurrency_id, after)
        waiting = self.event_queue_per_concurrency_id[concurrency_id].queue
        for rank, event in enumerate(waiting):
            # The API's clients read the rank itself, which such a message would take from them.
            if event.fn.api_visibility == "private" and (after is None or rank >= after):
                unit = say("in_line", self.blocks.language_of(event), waiting=len(waiting))
                # Gradio's own words for it, which this replaces, are English.
                self.send_message(event, ProgressMessage(progress_data=[ProgressUnit(index=rank + 1, unit=unit)]))

    async def reset_iterators(self, event_id: str) -> None:
        """Off the list first: a generator that is at work can only be closed once `Stop` has told it that it was left."""
        self.event_ids_to_events.pop(event_id, None)
        await super().reset_iterators(event_id)

    def in_use(self) -> set[str]:
        """The paths in what those have sent who wait or are served."""
        events = list(self.event_ids_to_events.values())
        return {p for e in events if e.data for p in paths_in(e.data.data) if isinstance(p, str)}

    async def drop_unheard(self, heard: set[str]) -> None:
        """Forget the sessions whose messages nobody has listened to for a minute. heard: those that are listened to."""
        now = time.monotonic()
        sessions = set(self.pending_messages_per_session) - heard
        self.unheard = {s: self.unheard.get(s, now) for s in sessions}
        for session, since in list(self.unheard.items()):
            if now - since > UNHEARD_SECONDS:
                await self.clean_events(session_hash=session)
                self.pending_messages_per_session.pop(session, None)
                self.pending_event_ids_session.pop(session, None)


class PageBlocks(gr.Blocks):
    """Blocks that take nothing but what their own page sends, and answer everything else with one sentence.

    folder: of the uploads and results. spoken: a state that holds the language of each session. Needless once Gradio
    checks what a client sends against the components, and errors can be answered in one place.
    """

    def __init__(self, folder: UploadFolder, **options: Any) -> None:
        self.folder = folder
        self.spoken: gr.State | None = None
        self.heard: Counter[str] = Counter()  # how many streams each session listens to
        super().__init__(**options)

    def queue(self, *arguments: Any, **options: Any) -> PageBlocks:
        super().queue(*arguments, **options)
        self._queue = Line(
            live_updates=True, concurrency_count=self.max_threads, update_intervals=1, max_size=None, blocks=self
        )
        return self

    def language_of(self, event: queueing.Event) -> Language:
        """What is spoken in the session of a request."""
        session = self.state_holder.session_data.get(event.session_hash)
        spoken = session.state_data.get(self.spoken._id) if session is not None and self.spoken is not None else None
        return spoken if spoken in ("en", "fr") else language_of(event.request)

    def session_of(self, event_id: str) -> str:
        """The session of a request, as Gradio's route for its answer finds it."""
        event = self._queue.event_ids_to_events.get(event_id)
        if event is not None:
            return str(event.session_hash)
        pending = self._queue.pending_event_ids_session.items()
        return next((session for session, ids in pending if event_id in ids), event_id)

    async def sweep(self) -> None:
        """Forget the requests of those who have left, delete the files that nobody waits for, give memory back."""
        await self._queue.drop_unheard(set(self.heard))
        await anyio.to_thread.run_sync(self.folder.sweep, self._queue.in_use())
        await anyio.to_thread.run_sync(give_back)

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any) -> Any:
        """Check what a client sent for each input before Gradio touches it. Raises NotAnUpload or NotOurs."""
        try:
            if block_fn.fn is None or len(inputs) != len(block_fn.inputs):
                raise NotOurs
            for component, value in zip(block_fn.inputs, inputs, strict=True):
                self.check(component, value)
            return await super().preprocess_data(block_fn, inputs, *arguments, **options)
        except (NotAnUpload, NotOurs):
            raise
        except Exception as error:
            raise NotOurs from error

    def check(self, component: Any, value: Any) -> None:
        """Whether a value is one that the page's own component sends. Raises NotAnUpload or NotOurs."""
        if isinstance(component, gr.State):
            return  # what the client sends for it is not used
        if isinstance(component, gr.File):
            for file in value if isinstance(value, list) else [] if value is None else [value]:
                self.folder.check(file.get("path") if isinstance(file, dict) else None)
        elif not sent_by_page(component, value):
            raise NotOurs

    async def process_api(self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any) -> Any:
        """As Gradio's, but whatever goes wrong is one sentence for the user, and one line without a path in the log."""
        request = options.get("request")
        language = language_of(request[0] if isinstance(request, list) and request else request)
        try:
            return await super().process_api(block_fn, inputs, *arguments, **options)
        except Exception as error:
            if isinstance(error, gr.Error) and not error.print_exception:  # a sentence of ours
                raise
            key, line = verdict(error)
            if line:
                log(f"{getattr(block_fn, 'name', None) or 'request'}: {line}")
            raise refusal(key, language, minutes=REQUEST_SECONDS // 60) from None
        finally:
            if options.get("iterator") is None:  # the first step: what the handler wanted of it, it has taken
                self.folder.discard([p for value in inputs for p in paths_in(value)])


def sent_by_page(component: Any, value: Any) -> bool:
    """Whether a value is one that a component without files sends."""
    if isinstance(component, gr.Slider):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and component.minimum <= value <= component.maximum  # NaN is not
    if isinstance(component, gr.Radio):
        return isinstance(value, str) and value in [v for _, v in component.choices]
    return value is None or isinstance(value, str)


class Form(GradioMultiPartParser):
    """Gradio's parser, whose files are known while they are written, so that none is left behind.

    Needless once Gradio deletes the files of an upload that is broken off.
    """

    written: list[Path]

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        self.written[:] = [Path(file.name) for file in self._files_to_close_on_error]

    def close(self) -> None:
        """Close all files. Raises OSError where what was still in memory found no room on the disk."""
        failed: OSError | None = None
        for file in self._files_to_close_on_error:
            try:
                file.close()
            except OSError as error:
                failed = error
        if failed:
            raise failed
