"""The pipeline of a worker without sockets: a caller before it, and a provider that says what it is
told to behind it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.message import Message
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, Guardrails
from modelserving.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk
from modelserving.v1.completion_pb2 import Completion
from modelserving.v1.embedding_pb2 import EmbeddingList
from modelserving.v1.endpoint_pb2 import ServedEntity
from modelserving.v1.external_model_pb2 import AnthropicConfig, ExternalModel
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.types import HttpRequest
from modelplane.adapters.shared.guardrail_rules import build_policies
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.bodies import Bodies
from modelplane.data_plane.calls.call import Call
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.calls.refusals import settle
from modelplane.data_plane.errors import DataPlaneError, Refusal
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.verdict import Phase
from modelplane.data_plane.hosting.groups import Groups
from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.hosts.routes import Routes
from modelplane.data_plane.hosts.typed.rpcs import TYPED_RPCS
from modelplane.data_plane.hosts.typed.writer import write
from modelplane.data_plane.invocation import Inference
from modelplane.data_plane.limits.admission import Unlimited
from modelplane.data_plane.limits.throughput import ThroughputGate
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot, Snapshots
from modelplane.data_plane.telemetry.guardrail_metrics import GuardrailMetrics
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.circuit import Circuits
from modelplane.data_plane.upstreams.hosted_relay import HostedRelay, HostedTimeouts
from modelplane.data_plane.upstreams.relay import Relay, Timeouts
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.data_plane.messages import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    TOKEN,
    endpoint,
    endpoint_config,
    external_entity,
    snapshot,
)

Json = dict[str, Any]
WALL_MS = 1_700_000_000_000.0
JUDGE_MODEL = "guard-model"
PSEUDONYM_KEY = b"0123456789abcdef0123456789abcdef"
ENDPOINTS = ("chat", "text", "vector", "claude", "answers")


@dataclass
class Response:
    """What the provider answers; see `HttpResponse`."""

    parts: list[bytes]
    headers: Mapping[str, str]
    status: int = 200
    secrets: tuple[str, ...] = ()
    closed: bool = False

    async def read(self) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    async def body(self) -> bytes:
        parts, self.parts = self.parts, []
        return b"".join(parts)

    def close(self) -> None:
        self.closed = True


@dataclass
class Provider:
    """Answers each request with the same; see `HttpTransport`."""

    parts: list[bytes] = field(default_factory=list)
    streams: bool = False
    requests: list[HttpRequest] = field(default_factory=list)
    # What the model that judges says, one after the other; the last one again and again.
    verdicts: list[Json] = field(default_factory=list)
    # What it says where several ask beside each other, by what it is asked.
    verdict_on: Callable[[Json], Json] | None = None
    # What it was asked.
    judged: list[Json] = field(default_factory=list)

    async def send(
        self, request: HttpRequest, stale: Callable[[], None] = lambda: None
    ) -> Response:
        del stale
        # What benchmarks measure should not be that this parses long bodies.
        if f'"model":"{JUDGE_MODEL}"'.encode() in request.body:
            self.judged.append(json.loads(request.body))
            if self.verdict_on:
                said = self.verdict_on(self.judged[-1])
            else:
                said = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
            return Response([json.dumps(said).encode()], {"content-type": "application/json"})
        self.requests.append(request)
        kind = "text/event-stream" if self.streams else "application/json"
        return Response(list(self.parts), {"content-type": kind})

    def say(self, answer: Json) -> None:
        """Answer with a document."""
        self.parts, self.streams = [json.dumps(answer).encode()], False

    def stream(self, events: Sequence[Json]) -> None:
        """Answer with events, each by itself."""
        self.parts = [b"data: %b\n\n" % json.dumps(event).encode() for event in events]
        self.parts.append(b"data: [DONE]\n\n")
        self.streams = True

    @property
    def heard(self) -> Json:
        """The body of the last request."""
        body: Json = json.loads(self.requests[-1].body)
        return body


class Wire:
    """Stands for a connection over which one request comes."""

    def __init__(self, path: str, body: object) -> None:
        self.method, self.target = b"POST", path.encode()
        self.headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = 0
        self.fields = b""
        self.sent: list[bytes] = []

    def take_whole(self, _limit: int) -> bytes:
        return self._body

    def respond(self, status: int, fields: bytes, body: bytes) -> None:
        self.status, self.fields = status, fields
        self.sent.append(body)

    def begin(self, fields: bytes) -> None:
        self.status, self.fields = 200, fields

    async def write(self, data: bytes) -> None:
        self.sent.append(data)

    def end(self, data: bytes = b"", _trailers: bytes = b"") -> None:
        self.sent.append(data)

    @property
    def text(self) -> str:
        """All that came back."""
        return b"".join(self.sent).decode()

    @property
    def json(self) -> Any:
        """The document that came back."""
        return json.loads(self.text)

    @property
    def events(self) -> list[Json]:
        """The events that came back, but for the marker of their end."""
        lines = [line for line in self.text.split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


@dataclass
class Ledger:
    """Keeps the records of calls."""

    records: list[Record] = field(default_factory=list)

    def begin(self, record: Record, query: object) -> None:
        del query
        record.ticket = object()

    def end(self, record: Record) -> None:
        self.records.append(record)


def found_in(record: Record) -> Findings:
    """Return what was found in an answer."""
    assert record.guard is not None
    return record.guard.found[Phase.OUTPUT]


class Pipeline:
    """A worker's pipeline, with an endpoint for each task, and one for each kind of passage."""

    def __init__(self) -> None:
        self.provider = Provider()
        self.ledger = Ledger()
        # What is pushed of the endpoint that judges, and of who calls.
        self.judge_settings: dict[str, Any] = {}
        self.callers: dict[str, Any] = {}
        self.registry = CollectorRegistry()
        self.snapshots = Snapshots(Groups(Random(1), 1 << 20))
        transport = cast("HttpTransport", self.provider)
        metrics, tried = Metrics(self.registry), AttemptMetrics(self.registry)
        looked = GuardrailMetrics(self.registry)
        accountant = Accountant(metrics, Meters(), self.ledger, lambda: 0.0, guardrails=looked)
        relay = Relay(Upstream(transport, lambda: 0.0), accountant, Timeouts(30, 30, 30))
        timeouts = HostedTimeouts(30, 30, 30)
        # Nothing here is hosted, provisioned or recorded.
        provisioned = cast("ThroughputGate", None)
        hosted = HostedRelay(transport, self.snapshots, accountant, tried, provisioned, timeouts)
        circuits = Circuits(lambda: 0.0, Random(1), 0)
        attempts = Attempts(relay, hosted, circuits, tried, Random(1))
        self.inference = Inference(
            self.snapshots,
            attempts,
            Unlimited(),
            accountant,
            lambda: WALL_MS,
            Bodies(1 << 30),
            cast("PayloadLog", None),
        )
        native = NativeCalls(self.inference, lambda: WALL_MS)
        self._routes = Routes(
            RestCalls(self.inference, native.speak_responses),
            native,
            GrpcCalls((), self.inference),
            lambda: "",
        )

    def guard(
        self, guardrails: Json | None = None, policies: Sequence[Json] = (), **pushed: Any
    ) -> None:
        """Give all endpoints guardrails and policies, but the one called `judge`."""
        given = [json_format.ParseDict(policy, GuardrailPolicy()) for policy in policies]
        pushed |= {"policies": build_policies(given), "pseudonym_key": PSEUDONYM_KEY}
        gateway = AiGatewayConfig()
        if guardrails is not None:
            gateway.guardrails.CopyFrom(_guardrails(guardrails))
        entities = {
            "chat": external_entity(),
            "text": external_entity(task=COMPLETIONS, model="gpt-3.5-turbo-instruct"),
            "vector": external_entity(task=EMBEDDINGS, model="text-embedding-3-small"),
            "claude": _claude(),
        }
        judge = endpoint_config(external_entity("judge", model=JUDGE_MODEL))
        pushed_endpoints = [
            endpoint(name, endpoint_config(entity), ai_gateway=gateway, **pushed)
            for name, entity in entities.items()
        ]
        pushed_endpoints.append(endpoint("judge", judge, **self.judge_settings))
        message = snapshot(1, *pushed_endpoints, **self.callers).snapshot
        builder = SnapshotBuilder(Snapshot(), Random(1), empty=True)
        builder.put_endpoints(message.endpoints)
        builder.put_callers(message)
        assert not builder.failures
        self.snapshots.current = builder.build(1, "store")
        self.provider.requests.clear()
        self.ledger.records.clear()

    async def post(self, path: str, body: object, wires: type[Wire] = Wire) -> Wire:
        """Send a request over a wire of a kind, and return what came back."""
        wire = wires(path, body)
        await self._routes(cast("Connection", wire))
        return wire

    async def call(self, name: str, message: Message) -> Wire:
        """Call a typed RPC, and return what came back as if it were REST."""
        [rpc] = [rpc for rpc in TYPED_RPCS if rpc.name == name]
        call = Call(rpc.method, {"authorization": f"Bearer {TOKEN}"}, "r-1", rpc.task)
        rpc.read(message.SerializeToString(), call)
        wire = Wire("", {})
        outlet = _Outlet(wire, _ANSWERS[name], streams=name.startswith("Stream"))
        try:
            await self.inference.answer(call, rpc.reply(outlet))
        except DataPlaneError as error:
            refusal = settle(error, "r-1")
            wire.status = refusal.status.http
            wire.sent.append(json.dumps({"message": refusal.message}).encode())
        return wire


_ANSWERS: Mapping[str, type[Message]] = {
    "Chat": ChatCompletion,
    "StreamChat": ChatCompletionChunk,
    "Complete": Completion,
    "StreamComplete": Completion,
    "Embed": EmbeddingList,
}


class _Outlet:
    """Writes the messages of a typed RPC down as JSON."""

    def __init__(self, wire: Wire, answer: type[Message], *, streams: bool) -> None:
        self._wire = wire
        self._answer = answer
        self._streams = streams

    async def start(self, metadata: object) -> None:
        del metadata
        self._wire.status = 200

    async def send(self, message: bytes) -> None:
        text = json.dumps(write(self._answer.FromString(message)))
        self._wire.sent.append(f"data: {text}\n\n".encode() if self._streams else text.encode())

    async def answer(self, metadata: object, message: bytes) -> None:
        await self.start(metadata)
        await self.send(message)

    async def fail(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)


def _guardrails(given: Json) -> Guardrails:
    return json_format.ParseDict(given, Guardrails())


def _claude() -> ServedEntity:
    config = AnthropicConfig(anthropic_api_key_plaintext="sk-test-key")
    model = ExternalModel(
        name="claude-sonnet-4-5", provider="anthropic", task=CHAT, anthropic_config=config
    )
    return ServedEntity(name="claude", external_model=model, creation_timestamp=1_699_617_587_000)


def chat_answer(message: Json, finish_reason: str = "stop") -> Json:
    """Return a whole answer of the provider."""
    return {
        "id": "a1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-4",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }


def chat_chunks(deltas: Sequence[Json], finish_reason: str = "stop") -> list[Json]:
    """Return the same as a stream."""
    frame = {"id": "a1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4"}
    told = [({"role": "assistant", "content": ""}, None), *((delta, None) for delta in deltas)]
    chunks = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in (*told, ({}, finish_reason))
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return [*chunks, {**frame, "choices": [], "usage": usage}]


def claude_answer(block: Json) -> Json:
    """Return a whole answer of Anthropic's."""
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [block],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 5},
    }


def claude_events(start: Json, deltas: Sequence[Json]) -> list[Json]:
    """Return the same as a stream."""
    message = {**claude_answer(start), "content": [], "stop_reason": None}
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


def text_answer(text: str) -> Json:
    """Return a whole completion of the provider."""
    answer = chat_answer({}) | {"object": "text_completion"}
    return answer | {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]}


def text_chunks(pieces: Sequence[str]) -> list[Json]:
    """Return the same as a stream."""
    frame = {"id": "a1", "object": "text_completion", "created": 7, "model": "gpt-3.5"}
    told = [*((piece, None) for piece in pieces), ("", "stop")]
    return [
        {**frame, "choices": [{"index": 0, "text": text, "finish_reason": reason}]}
        for text, reason in told
    ]


def vectors() -> Json:
    """Return embeddings of the provider."""
    item = {"object": "embedding", "index": 0, "embedding": [0.5]}
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return {"object": "list", "data": [item], "model": "m", "usage": usage}
