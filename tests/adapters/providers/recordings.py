"""What emulators said to the queries of the conformance cases, and ways to spoil it.

Recorded once for each case, over real HTTP; `test_properties.py` replays it to adapters.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, TypeAlias

from botocore.eventstream import EventStreamBuffer

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import HttpAnswer, Query, Task
from modelplane.data_plane.calls.query import build_query
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.data_plane.fakes import Repeats
from tests.emulators.amazon_bedrock.frames import frame

Change: TypeAlias = Callable[[Any], Any]
_PATHS_OF_A_LIST = 3


@dataclass(frozen=True, slots=True)
class Recording:
    """One query and the provider's responses to it."""

    adapter: Adapter
    query: Query
    answers: Sequence[HttpAnswer] = field(repr=False)

    @property
    def stream(self) -> bytes:
        """The body of a streamed answer."""
        return self.answers[0].body


@cache
def record(name: str, *, stream: bool) -> Recording:
    """Return what the emulator of a case says to its query.

    Args:
        name: Name of the case.
        stream: Whether the answer is streamed.
    """
    case = next(case for case in CASES if case.name == name)
    return asyncio.run(_record(case, stream=stream))


async def _record(case: ProviderCase, *, stream: bool) -> Recording:
    async with case.emulator() as emulator:
        adapter = build_adapter(case.model(emulator.origin))
        query = build_query(
            spec_of(case.task), {**case.body, **({"stream": True} if stream else {})}
        )
        async with Http1Transport(case.origins(emulator.origin)) as transport:
            upstream = Upstream(transport, time.time)  # noqa: TID251 - tokens have real lifetimes
            try:
                answers = await upstream.send_all(
                    adapter, adapter.plan(query, {}).requests, Repeats()
                )
            finally:
                await upstream.aclose()
    if case.task == Task.EMBEDDINGS:
        answers = [replace(one, body=rewrite(one.body, _shortened)) for one in answers]
    return Recording(adapter, query, answers)


def _shortened(document: Any) -> Any:
    """Return a document with the first numbers of each embedding only."""
    match document:
        case dict():
            return {name: _shortened(value) for name, value in document.items()}
        case [float(), *_]:
            return document[:_PATHS_OF_A_LIST]
        case list():
            return [_shortened(value) for value in document]
    return document


def documents(body: bytes) -> list[Any]:
    """Return the JSON documents in a response: the answer itself, or those of all events."""
    found: list[Any] = []

    def keep(document: Any) -> Any:
        found.append(document)
        return document

    rewrite(body, keep)
    return found


def rewrite(body: bytes, change: Change) -> bytes:
    """Return a response with each of its JSON documents changed, in its own framing."""
    try:
        return json.dumps(change(json.loads(body))).encode()
    except ValueError:
        pass
    if body[:1] == b"\0":
        return _rewrite_frames(body, change)
    return b"\n".join(_rewrite_line(line, change) for line in body.split(b"\n"))


def _rewrite_line(line: bytes, change: Change) -> bytes:
    """Rewrite a line of server-sent events, or of a stream of lines that are JSON."""
    read = _read_line(line)
    if read is None:
        return line
    prefix, document, encoded = read
    changed = change(document)
    return encoded if changed is document else prefix + json.dumps(changed).encode()


# The same lines are read for each change of one of them.
@lru_cache(4096)
def _read_line(line: bytes) -> tuple[bytes, Any, bytes] | None:
    """Return what comes before a line's document, the document, and the line as we write it."""
    prefix = b"data: " if line.startswith(b"data: ") else b""
    try:
        document = json.loads(line.removeprefix(prefix))
    except ValueError:
        return None
    return prefix, document, prefix + json.dumps(document).encode()


def _rewrite_frames(body: bytes, change: Change) -> bytes:
    frames = EventStreamBuffer()
    frames.add_data(body)
    changed = []
    for one in frames:
        headers = {name: str(value) for name, value in one.headers.items()}
        payload = one.payload
        if payload:
            payload = json.dumps(_change_event(json.loads(payload), change)).encode()
        changed.append(frame(headers, payload))
    return b"".join(changed)


def _change_event(event: Any, change: Change) -> Any:
    """Change an event, and the model's own event inside it."""
    inner = event.get("bytes")
    event = change(event)
    if inner is None or not isinstance(event, dict) or event.get("bytes") != inner:
        return event
    said = json.dumps(change(json.loads(base64.b64decode(inner))))
    return {**event, "bytes": base64.b64encode(said.encode()).decode()}


Path: TypeAlias = tuple[str | int, ...]


def paths(document: Any, path: Path = ()) -> list[Path]:
    """Return where values stand in a document, and where an error would.

    Of long lists, the first values only.
    """
    found = [path]
    if isinstance(document, dict) and not path:
        found.append(("error",))
    if isinstance(document, dict):
        for name, value in document.items():
            found += paths(value, (*path, name))
    elif isinstance(document, list):
        for index, value in enumerate(document[:_PATHS_OF_A_LIST]):
            found += paths(value, (*path, index))
    return found


def spoil(body: bytes, which: int, path: Path, value: Any) -> bytes:
    """Return a response whose document number `which` has another value at a path."""
    count = iter(range(1 << 20))

    def change(document: Any) -> Any:
        return put(document, path, value) if next(count) == which else document

    return rewrite(body, change)


def put(document: Any, path: Path, value: Any) -> Any:
    """Return a document with another value at a path."""
    if not path:
        return value
    changed = document.copy()
    inner = put(document[path[0]], path[1:], value) if path[1:] else value
    changed[path[0]] = inner
    return changed
