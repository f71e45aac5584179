"""What stands before Gradio's server: the few addresses that the page and the API use, and no others.

Uploads are received here, because Gradio's own route leaves what is broken off, and every file under a name of its content.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any

from fastapi import Request
from gradio.route_utils import GradioUploadFile, client_utils
from gradio.routes import file_upload_statuses
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lgg_demo.messages import Language, say
from lgg_demo.page.faults import language_of, log, raised_at, verdict
from lgg_demo.page.gradio_patches import Form, PageBlocks

API = "/gradio_api"
SWEEP_SECONDS = 10
SILENT_SECONDS = 30  # after which an upload that sends nothing more is broken off
MOST_ASKED = 64 * 2**20  # bytes of a request that is no upload; corrections by hand are the largest
# Method and address of all that is answered; Gradio has many more, among them some that fetch other hosts' pages, write
# files or run programs for whoever asks.
ROUTES = re.compile(
    r"(GET|HEAD) (/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?)"
    r"|(GET|HEAD) /(assets|static|svelte)/.+"
    rf"|(GET|HEAD) {API}/(info/?|openapi\.json|app_id/?|theme\.css|startup-events|login_check/?|user/?|token/?|queue/status"
    r"|queue/data|upload_progress|heartbeat/[^/]+|call/(v2/)?[^/]+/[^/]+|file=.+)"
    rf"|POST {API}/(upload|queue/join|cancel|reset/?|call/(v2/)?[^/]+/?)"
)


class TooMuch(Exception):
    """A request of more bytes than any of the page's."""


class Gate:
    """ASGI middleware around Gradio's app."""

    def __init__(self, app: ASGIApp, blocks: PageBlocks) -> None:
        self.app = app
        self.blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self.http(scope, receive, send)

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever goes wrong; and in the log a line at most."""
        request = Request(scope, receive)
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            answer = await self.answer(request)
            if answer is not None:
                await answer(scope, receive, sent)
            else:
                with self.heard(request):
                    await self.app(scope, limited(receive), sent)
        except ClientDisconnect:
            pass
        except Exception as error:
            log(f"{scope['method']} failed ({raised_at(error)})")
            if not begun:
                await said("request_refused", 500, language_of(request))(scope, receive, send)

    async def answer(self, request: Request) -> Response | None:
        """What is answered here; None where Gradio does."""
        path = address(request.scope)
        if not ROUTES.fullmatch(f"{request.method} {path}"):
            return PlainTextResponse("Not Found", 404)
        if path.startswith(f"{API}/file=") and not self.blocks.folder.is_result(path.removeprefix(f"{API}/file=")):
            return PlainTextResponse("Not Found", 404)
        if path == f"{API}/upload":
            return await self.upload(request)
        return None

    @contextmanager
    def heard(self, request: Request) -> Iterator[None]:
        """Note that a session listens to its messages, for as long as it does."""
        path = address(request.scope)
        session = request.query_params.get("session_hash") if path == f"{API}/queue/data" else None
        if request.method == "GET" and path.startswith(f"{API}/call/"):
            session = self.blocks.session_of(path.rpartition("/")[2])
        if session is None:
            yield
            return
        self.blocks.heard[session] += 1
        try:
            yield
        finally:
            self.blocks.heard -= Counter({session: 1})

    async def upload(self, request: Request) -> Response:
        """Receive the files of a form, as Gradio's clients send them; the answer lists their paths."""
        language = language_of(request)
        try:
            return JSONResponse(await self.received(request))
        except TimeoutError:
            return said("upload_broken_off", 408, language)
        except MultiPartException as error:
            if error.message.startswith("File size"):
                return said("upload_too_large", 413, language, megabytes=(self.blocks.max_file_size or 0) // 10**6)
            return said("request_refused", 400, language)
        except OSError as error:
            key, line = verdict(error)
            log(f"upload: {line}")
            return said(key, 507 if key == "server_full" else 500, language)

    async def received(self, request: Request) -> list[str]:
        """Write the files of a form into folders of their own; what is not whole in the end is gone."""
        folder, progress = self.blocks.folder, request.query_params.get("upload_id")
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise MultiPartException("no form")
        folder.make()
        if progress:
            file_upload_statuses.track(progress)
        sender = sender_of(request)
        with folder.receiving(sender) as files:
            form = Form(
                request.headers,
                steady(request.stream()),
                upload_dir=folder.uploads,
                upload_id=progress,
                upload_progress=file_upload_statuses if progress else None,
                max_file_size=self.blocks.max_file_size or inf,
            )
            form.written = files
            kept: list[str] = []
            try:
                whole = [f for f in (await form.parse()).getlist("files") if isinstance(f, GradioUploadFile)]
                form.close()
                for file in whole:
                    name = client_utils.strip_invalid_filename_characters(Path(file.filename or "").name)
                    name = "file" if name in ("", ".", "..") else name
                    kept.append(str(folder.keep(Path(str(file.file.name)), name, sender)))
            except BaseException:
                with suppress(OSError):
                    form.close()
                folder.discard(kept)
                raise
            return kept


async def steady(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """What a client sends, while it does. Raises TimeoutError when it is silent for too long."""
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), SILENT_SECONDS)
        except StopAsyncIteration:
            return


def limited(receive: Receive) -> Receive:
    """Receive no more than a request of the page is long."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_ASKED:
            raise TooMuch
        return message

    return counted


def address(scope: Scope) -> str:
    """The path of a request within this server, where a proxy has put another in front of it."""
    return str(scope["path"]).removeprefix(scope.get("root_path", "").rstrip("/"))


def sender_of(request: Request) -> str:
    """Who sends, as far as two of its connections show it; for what its uploads wait together, and for nothing else."""
    host = request.client.host if request.client else ""
    return "\n".join([host, request.headers.get("x-forwarded-for", ""), request.headers.get("user-agent", "")])


def said(key: str, status: int, language: Language, **values: object) -> PlainTextResponse:
    return PlainTextResponse(say(key, language, **values), status)


async def every(seconds: float, do: Callable[[], Any]) -> None:
    """Do something again and again; what goes wrong once does not keep it from being done the next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except Exception as error:
            log(f"cleaning: {raised_at(error)}")


@asynccontextmanager
async def swept(blocks: PageBlocks) -> AsyncIterator[None]:
    """Clean up behind the clients for as long as the server runs, and behind all of them at its end."""
    task = asyncio.create_task(every(SWEEP_SECONDS, blocks.sweep))
    try:
        yield
    finally:
        task.cancel()
        blocks.folder.clear()
