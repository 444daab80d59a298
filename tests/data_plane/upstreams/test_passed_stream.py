"""Streams that pass as they are: byte for byte, in whole events, wherever their bytes are cut."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.base import Adapter, Passage
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import Query, Task
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.limits.admission import Unlimited
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from modelplane.data_plane.upstreams.deadlines import Deadlines
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.passed_stream import PassedStream
from modelplane.data_plane.upstreams.relayed_stream import StreamSeconds
from tests.data_plane.fakes import NoLedger
from tests.data_plane.messages import external_entity
from tests.emulators.amazon_bedrock import frames
from tests.emulators.amazon_bedrock.configs import external_model as bedrock
from tests.emulators.google_cloud_vertex_ai.external_models import external_model as vertex

Json = dict[str, Any]
CLAUDE: list[Json] = [
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "tü"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
CLAUDE_ERROR: Json = {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}
RESPONSES: list[Json] = [
    {"type": "response.created", "response": {"id": "r", "model": "gpt-4"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
    {"type": "response.output_text.delta", "delta": "tü"},
    {
        "type": "response.completed",
        "response": {"id": "r", "usage": {"input_tokens": 9, "output_tokens": 5}},
    },
]
RESPONSES_ERROR: Json = {"type": "error", "code": "server_error", "message": "Busy"}
_PARTS = [{"text": "t"}, {"text": "ü"}]
GEMINI: list[Json] = [
    {"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in _PARTS
]
GEMINI.append(
    {
        "candidates": [{"content": {"parts": [{"text": "!"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5},
    }
)
GEMINI_ERROR: Json = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy"}}


def named(event: Json) -> bytes:
    """Return an event as Anthropic and OpenAI send it."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def bare(event: Json) -> bytes:
    """Return an event as Google sends it."""
    return f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode()


def compact(event: Json) -> bytes:
    """Return an event as the gateway writes what comes in frames."""
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


@dataclass(frozen=True)
class Kind:
    """A provider whose streams pass; `arrives` and `passes` encode one event.

    Attributes:
        silent: Number of the first events after which an answer has not begun.
    """

    name: str
    adapter: Adapter
    protocol: str
    events: Sequence[Json] = field(repr=False)
    error: Json = field(repr=False)
    silent: int = 0
    arrives: Any = named
    passes: Any = named

    @property
    def passage(self) -> Passage:
        found = self.adapter.passage(self.protocol)
        assert found is not None
        return found


_ANTHROPIC = vertex("claude-sonnet-4@20250514", Task.CHAT)
KINDS = (
    Kind(
        "vertex-claude",
        build_adapter(_ANTHROPIC),
        "anthropic/v1/messages",
        CLAUDE,
        CLAUDE_ERROR,
    ),
    Kind(
        "bedrock-claude",
        build_adapter(bedrock("claude-sonnet-4-20250514-v1:0", "anthropic", "chat")),
        "anthropic/v1/messages",
        CLAUDE,
        CLAUDE_ERROR,
        arrives=frames.chunk,
        passes=compact,
    ),
    Kind(
        "openai",
        build_adapter(external_entity().external_model),
        "openai/v1/responses",
        RESPONSES,
        RESPONSES_ERROR,
        silent=1,
    ),
    Kind(
        "gemini",
        build_adapter(vertex("gemini-2.5-flash", Task.CHAT)),
        "gemini/v1/streamGenerateContent",
        GEMINI,
        GEMINI_ERROR,
        arrives=bare,
        passes=bare,
    ),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class Reply:
    """Keeps what a caller gets, event by event."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.begun = self.ended = False

    def encode(self, document: Json) -> bytes:
        return json.dumps(document).encode()

    def pass_on(self, document: bytes) -> bytes:
        return document

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        raise AssertionError((metadata, document))

    async def start(self, metadata: Metadata) -> None:
        del metadata
        self.begun = True

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        assert self.begun
        assert not self.ended
        self.sent += chunks
        self.ended = ended
        # Whatever breaks off now, the caller can read what has come.
        assert not b"".join(chunks) or chunks[-1].endswith((b"\n\n", b"\r\n\r\n"))

    async def fail(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)


@dataclass
class Response:
    """What a provider sends, read by read; see `HttpResponse`."""

    parts: Iterator[bytes]
    status: int = 200
    headers: Json = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    async def read(self) -> bytes:
        return next(self.parts, b"")

    async def body(self) -> bytes:
        return b"".join(self.parts)

    def close(self) -> None:
        """Close nothing."""


@dataclass
class Outcome:
    """What a caller got, and what failed."""

    reply: Reply
    usage: Any
    error: AdapterError | None = None

    @property
    def raw(self) -> bytes:
        return b"".join(self.reply.sent)


ACCOUNTANT = Accountant(Metrics(CollectorRegistry()), Meters(), NoLedger(), lambda: 0.0)


async def relay(kind: Kind, parts: Iterator[bytes]) -> Outcome:
    """Pass a stream that comes in parts."""
    reply = Reply()
    loop = asyncio.get_running_loop()
    exchange = Exchange(
        Call(Method.QUERY, request_id="r-1"),
        reply,
        ACCOUNTANT.open("r-1", {}),
        Endpoint("id", "e", None, None),
        Query({}, stream=True),
        Unlimited(),
    )
    entity = ServedEntity("entity", kind.name, Task.CHAT, kind.adapter, ())
    seconds = StreamSeconds(60, 60, 60)
    stream = PassedStream(kind.passage, exchange, entity, ACCOUNTANT, loop.time, seconds)
    outcome = Outcome(reply, None)
    with Deadlines(loop).within(60) as deadline:
        try:
            await stream.run(Response(parts), deadline)
        except AdapterError as error:
            outcome.error = error
    stream.note_usage()
    outcome.usage = exchange.record.usage
    return outcome


def encoded(events: Sequence[Json], encode: Any) -> bytes:
    return b"".join(map(encode, events))


def cut(data: bytes, places: Sequence[int]) -> Iterator[bytes]:
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    return (data[start:end] for start, end in pairwise(bounds))


@each_kind
def test_bytes_pass_as_they_are_wherever_they_are_cut(kind: Kind) -> None:
    data, expected = encoded(kind.events, kind.arrives), encoded(kind.events, kind.passes)

    async def check(places: Sequence[int]) -> None:
        outcome = await relay(kind, cut(data, places))
        assert outcome.error is None
        assert outcome.raw == expected
        assert outcome.reply.ended
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (9, 5)

    async def check_all() -> None:
        for place in range(len(data)):
            await check([place])
        await check(range(len(data)))

    asyncio.run(check_all())

    @given(st.lists(st.integers(0, 1 << 20), max_size=12))
    def check_some(places: list[int]) -> None:
        asyncio.run(check(places))

    check_some()


@each_kind
def test_an_error_costs_no_event_before_it(kind: Kind) -> None:
    """What came before an error is told, in whichever read it came; the rest is a refusal."""

    async def check(good: Sequence[Json], place: int) -> None:
        before = encoded(good, kind.arrives)
        data = before + kind.arrives(kind.error) + encoded(kind.events[len(good) :], kind.arrives)
        first = data[:place]
        outcome = await relay(kind, cut(data, [place]))
        assert outcome.error is not None
        assert "Busy" in str(outcome.error.detail)
        begun = encoded(good[: kind.silent + 1], kind.arrives)
        if len(good) <= kind.silent or len(first) < len(begun):
            # Another entity may be asked.
            assert not outcome.reply.begun
            return
        assert outcome.reply.begun
        assert outcome.raw == encoded(good, kind.passes)

    async def check_all() -> None:
        # All but the last of them, which has ended the answer.
        for count in range(len(kind.events)):
            good = kind.events[:count]
            stop = len(encoded(good, kind.arrives) + kind.arrives(kind.error))
            # Where the last one before it is cut, too.
            for place in range(len(encoded(good[:-1], kind.arrives)), stop):
                await check(good, place)

    asyncio.run(check_all())


@each_kind
def test_what_is_no_event_ends_a_stream_after_those_that_are(kind: Kind) -> None:
    if kind.arrives is frames.chunk:
        return
    good = kind.events[: kind.silent + 2]
    data = encoded(good, kind.arrives)
    parts = iter([data[:-9], data[-9:] + b"data: no JSON\n\n" + kind.arrives(kind.events[-1])])
    outcome = asyncio.run(relay(kind, parts))
    assert outcome.error is not None
    assert type(outcome.error).__name__ == "MalformedAnswer"
    assert outcome.raw == data
