"""What the emulators of all providers share: a loopback server that records, answers and spoils.

Each provider's `server` derives from `Emulator` and adds its routes; a route checks a request,
raises `Refusal`, or ends in `send_document` or `send_stream`, where faults come in.
"""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.emulators.faults import ANY_MODEL, Fault, Faults, Kind

Json = dict[str, Any]
E = TypeVar("E", bound="Emulator")

_POLL_SECONDS = 0.01
_MAX_BODY = 64 * 1024 * 1024
# How much of each end of a long answer goes out byte by byte.
_TRICKLED = 2048
_BEFORE_THE_ANSWER = ("status", "stall", "drop", "garbage")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json
    raw: bytes = field(default=b"", repr=False)


class Refusal(Exception):
    """A refusal in the provider's own shape."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Emulator(ABC):
    """A provider's server for tests.

    Attributes:
        requests: All requests to the API so far, in order of arrival.
        under_way: Number of requests that are being answered.
        cancelled: Number of requests whose caller went away before the answer was complete.
        seen_cancelled: Set once a request was cancelled; for tests in the emulator's own loop.
        faults: Ways to misbehave, now in force.
        closing: Set when the emulator ends.
    """

    # Headers of every answer, and the media type of a stream.
    answer_headers: Mapping[str, str] = {}
    stream_type = "text/event-stream; charset=utf-8"

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Recorded] = []
        self.under_way = 0
        self.cancelled = 0
        self.seen_cancelled = asyncio.Event()
        self.faults = Faults()
        self.closing = asyncio.Event()
        self._port = port
        self._resumed: SimpleQueue[None] = SimpleQueue()
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._port}"

    @abstractmethod
    def add_routes(self, app: web.Application) -> None:
        """Add the provider's routes."""

    @abstractmethod
    def error_body(self, status: int) -> Json:
        """Return an error in the provider's shape, for faults."""

    @abstractmethod
    def error_event(self, body: Json) -> bytes:
        """Return an error inside a stream."""

    def fail(
        self,
        model: str = ANY_MODEL,
        *,
        status: int = 500,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        times: int | None = None,
    ) -> None:
        """Answer requests to `model` with an error status.

        Args:
            model: Model whose requests fail.
            status: HTTP status.
            body: Body; default: an error in the provider's shape.
            headers: Headers of the answer.
            retry_after: Seconds for the `Retry-After` header.
            times: Number of requests that fail; None: all until `faults.clear()`.
        """
        own = {} if retry_after is None else {"Retry-After": str(retry_after)}
        said = self.error_body(status) if body is None else body
        fault = Fault("status", status, said, {**own, **(headers or {})}, times=times)
        self.faults.put(model, fault)

    def misbehave(
        self,
        kind: Kind,
        model: str = ANY_MODEL,
        *,
        body: Json | None = None,
        after_events: int = 0,
        held: bool = False,
        times: int | None = None,
    ) -> None:
        """Let requests to `model` meet a fault other than an error status.

        Args:
            kind: What goes wrong.
            model: Model whose requests meet it.
            body: Body of an `error_event`; default: an error in the provider's shape.
            after_events: Number of events that a stream sends before.
            held: Wait for `resume()` between those events and the fault.
            times: Number of requests that meet it; None: all until `faults.clear()`.
        """
        said = self.error_body(500) if body is None else body
        self.faults.put(model, Fault(kind, 500, said, {}, after_events, held, times))

    def resume(self) -> None:
        """Let one held stream meet its fault; may be called from any thread."""
        self._resumed.put(None)

    def forget(self) -> None:
        """Behave again, and forget the requests so far; may be called from any thread."""
        self.faults.clear()
        with suppress(Empty):
            while True:
                self._resumed.get_nowait()
        self.requests.clear()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY)
        self.add_routes(app)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def route(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return `answer` with refusals sent, and with callers who left counted."""

        async def answer_or_refuse(request: web.Request) -> web.StreamResponse:
            self.under_way += 1
            try:
                return await answer(request)
            except Refusal as error:
                headers = {**self.answer_headers, **error.headers}
                return web.json_response(error.body, status=error.status, headers=headers)
            except (asyncio.CancelledError, ConnectionResetError):
                self.cancelled += 1
                self.seen_cancelled.set()
                raise
            finally:
                self.under_way -= 1

        return answer_or_refuse

    async def record(self, request: web.Request, parse: Callable[[bytes], object]) -> object:
        """Note a request and return its parsed body."""
        raw = await request.read()
        body = parse(raw)
        known = body if isinstance(body, dict) else {}
        query = dict(request.query)
        # The path as it was written: signatures and encoded names depend on it.
        path = request.rel_url.raw_path
        self.requests.append(Recorded(request.method, path, query, request.headers, known, raw))
        return body

    async def send_document(
        self,
        request: web.Request,
        model: str,
        document: Json,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Answer with a whole document, unless a fault is in force for the model."""
        fault = self.faults.take(model)
        if fault is not None and fault.kind in _BEFORE_THE_ANSWER:
            return await self._refuse(request, fault)
        content = json.dumps(document).encode()
        shown = {**self.answer_headers, **(headers or {}), "Content-Type": "application/json"}
        if fault is None:
            return web.Response(body=content, headers=shown)
        response = web.StreamResponse(headers=shown)
        response.content_length = len(content)
        await response.prepare(request)
        if fault.kind == "trickle":
            await _trickle(response, content)
            return response
        await response.write(content[: len(content) // 2])
        if fault.kind == "stall_stream":
            await self.closing.wait()
        return _cut(request, response)

    async def send_stream(
        self, request: web.Request, model: str, events: Sequence[bytes]
    ) -> web.StreamResponse:
        """Answer with a stream, unless a fault is in force for the model."""
        fault = self.faults.take(model)
        if fault is not None and fault.kind in _BEFORE_THE_ANSWER:
            return await self._refuse(request, fault)
        headers = {**self.answer_headers, "Content-Type": self.stream_type}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        if fault is None or fault.kind == "trickle":
            for event in events:
                await (response.write(event) if fault is None else _trickle(response, event))
            return response
        for event in events[: fault.after_events]:
            await response.write(event)
        if fault.held:
            await self._wait_for_resume()
        if fault.kind == "stall_stream":
            await self.closing.wait()
        elif fault.kind == "error_event":
            await response.write(self.error_event(fault.body))
        return _cut(request, response) if fault.kind == "truncate" else response

    async def _refuse(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "status":
            headers = {**self.answer_headers, **fault.headers}
            return web.json_response(fault.body, status=fault.status, headers=headers)
        if fault.kind == "garbage":
            return web.Response(text="<html>emulated garbage</html>", content_type="text/html")
        if fault.kind == "stall":
            await self.closing.wait()
        return _cut(request)

    async def _wait_for_resume(self) -> None:
        while self._resumed.empty() and not self.closing.is_set():
            await asyncio.sleep(_POLL_SECONDS)
        with suppress(Empty):
            self._resumed.get_nowait()


def _cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response or web.Response()


async def _trickle(response: web.StreamResponse, content: bytes) -> None:
    pieces = [bytes([value]) for value in content]
    if len(pieces) > 2 * _TRICKLED:
        # The numbers in the middle of embeddings are all alike.
        pieces[_TRICKLED:-_TRICKLED] = [content[_TRICKLED:-_TRICKLED]]
    for piece in pieces:
        await response.write(piece)
        # Give the socket's reader the chance to see each byte alone.
        await asyncio.sleep(0)


@contextmanager
def running_in_thread(build: Callable[[], E]) -> Iterator[E]:
    """Run an emulator in a thread of its own until the block ends, beside clients that block.

    Reading its attributes and setting faults is safe from any thread.
    """
    started: SimpleQueue[tuple[E, asyncio.AbstractEventLoop, asyncio.Event]] = SimpleQueue()

    async def run() -> None:
        ended = asyncio.Event()
        async with build() as emulator:
            started.put((emulator, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    emulator, loop, ended = started.get(timeout=60)
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=10)
