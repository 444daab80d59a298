"""What every provider's adapter must do: the cases, and a gateway to put them through.

Each provider declares its cases in `tests/emulators/<provider>/cases.py`, with `-` as `_`:
`CASES: Sequence[ProviderCase]`, at least one for each task that its `provider_rules` name.
`test_conformance.py` runs all of them.
"""

import importlib
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelserving.v1.external_model_pb2 import ExternalModel
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.registry import FACTORIES, build_adapter
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.calls.query import build_query
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.limits.admission import Unlimited
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.relay import Relay, Timeouts
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.data_plane.fakes import NoLedger, Repeats
from tests.emulators.faults import ANY_MODEL, Kind

ENDPOINT = "conformance"


class ProviderEmulator(Protocol):
    """What the suite needs of an emulator; `tests/emulators/emulator.py` has all of it."""

    cancelled: int

    @property
    def origin(self) -> str: ...

    @property
    def requests(self) -> Sequence[object]: ...

    def fail(
        self,
        model: str = ANY_MODEL,
        *,
        status: int = 500,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        times: int | None = None,
    ) -> None: ...

    def misbehave(
        self,
        kind: Kind,
        model: str = ANY_MODEL,
        *,
        body: dict[str, Any] | None = None,
        after_events: int = 0,
        held: bool = False,
        times: int | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class ProviderCase:
    """One external model of a provider, and its emulator.

    Attributes:
        provider: Its name in the registry.
        task: Task of the model.
        streams: Whether the provider streams this task; where not, a stream must be refused with
            a 400. Left out of account for embeddings.
        model: Returns the external model whose provider is at an origin.
        emulator: Returns a new emulator.
        body: A canonical request that the provider answers with at least two pieces of text, and
            in less than 100 events.
        origins: Returns what the transport connects to in the provider's place, given the
            emulator's origin; none where the model's configuration names its base URL.
        variant: Tells several cases of one task apart.
        statuses: What the provider means by a status, where that differs from
            `errors.classify`. The emulator's default error body belongs to the status.
        error_event: Whether an error can come inside the provider's stream.
        secret: The credential as it goes over the wire, which an error must not repeat.
    """

    provider: str
    task: str
    streams: bool
    model: Callable[[str], ExternalModel]
    emulator: Callable[[], AbstractAsyncContextManager[ProviderEmulator]]
    body: JsonObject = field(repr=False)
    origins: Callable[[str], Mapping[str, str]] = lambda _: {}
    variant: str = ""
    statuses: Mapping[int, type[AdapterError]] = field(default_factory=dict)
    error_event: bool = True
    secret: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Identifies the case in test reports."""
        return "/".join(filter(None, (self.provider, self.variant, self.task.rpartition("/")[2])))


def cases_of(provider: str) -> Sequence[ProviderCase]:
    """Return the cases that a provider declares, none where it declares none."""
    package = f"tests.emulators.{provider.replace('-', '_')}"
    if importlib.util.find_spec(package) is None:
        return ()
    module = f"{package}.cases"
    if importlib.util.find_spec(module) is None:
        return ()
    cases: Sequence[ProviderCase] = importlib.import_module(module).CASES
    return cases


CASES = tuple(case for provider in FACTORIES for case in cases_of(provider))


class CapturedReply:
    """Keeps what a caller would get.

    Attributes:
        begun: Whether the answer has begun.
        metadata: Its metadata.
        document: The whole answer.
        chunks: The stream's chunks.
        done: Whether the stream ended as a complete one does.
        refusal: Why the stream broke off, where it did.
    """

    def __init__(self) -> None:
        self.begun = False
        self.metadata: Mapping[str, str] = {}
        self.document: Any = None
        self.chunks: list[Any] = []
        self.done = False
        self.refusal: Refusal | None = None

    def encode(self, document: JsonObject) -> bytes:
        return json.dumps(document).encode()

    def pass_on(self, document: bytes) -> bytes:
        return document

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        await self.start(metadata)
        self.document = json.loads(document)

    async def start(self, metadata: Metadata) -> None:
        assert not self.begun
        self.begun = True
        self.metadata = dict(metadata)

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        assert self.begun
        assert not self.done
        assert self.refusal is None
        self.chunks += map(json.loads, chunks)
        self.done = ended

    async def fail(self, refusal: Refusal) -> None:
        assert self.refusal is None
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Gateway:
    """The data plane from a validated query on, over real HTTP, before one emulator."""

    case: ProviderCase
    emulator: ProviderEmulator
    entity: ServedEntity
    relay: Relay
    accountant: Accountant

    async def put(self, reply: CapturedReply, *, stream: bool, **body: object) -> None:
        """Put the case's query, with changes.

        Raises:
            Exception: It is refused.
        """
        options = {"include_usage": True}
        mode = {"stream": True, "stream_options": options} if stream else {}
        query = build_query(spec_of(self.case.task), {**self.case.body, **body, **mode})
        record = self.accountant.open("request-1", {})
        endpoint = Endpoint("id", ENDPOINT, None, None)
        call = Call(Method.QUERY, name=ENDPOINT, request_id="request-1")
        exchange = Exchange(call, reply, record, endpoint, query, Unlimited())
        await (self.relay.stream if stream else self.relay.answer)(exchange, self.entity, Repeats())

    async def ask(self, *, stream: bool, **body: object) -> CapturedReply:
        """Return the answer to the case's query."""
        reply = CapturedReply()
        await self.put(reply, stream=stream, **body)
        return reply

    async def outcome(self, *, stream: bool, **body: object) -> CapturedReply | Exception:
        """Return the answer to the case's query, with changes, or what refused it."""
        try:
            return await self.ask(stream=stream, **body)
        except Exception as error:  # noqa: BLE001 - tests look at its class
            return error


@asynccontextmanager
async def open_gateway(
    case: ProviderCase, *, answer_seconds: float = 10.0, idle_seconds: float = 10.0
) -> AsyncIterator[Gateway]:
    """Run a case's emulator and what the data plane puts before it."""
    async with case.emulator() as emulator:
        model = case.model(emulator.origin)
        adapter = build_adapter(model)
        entity = ServedEntity("entity", model.provider, model.task, adapter, ())
        async with Http1Transport(case.origins(emulator.origin)) as transport:
            upstream = Upstream(transport, time.time)  # noqa: TID251 - tokens have real lifetimes
            accountant = Accountant(
                Metrics(CollectorRegistry()), Meters(), NoLedger(), time.monotonic
            )
            relay = Relay(upstream, accountant, Timeouts(answer_seconds, idle_seconds))
            try:
                yield Gateway(case, emulator, entity, relay, accountant)
            finally:
                await upstream.aclose()


def reassemble(chunks: Sequence[Any]) -> dict[int, dict[str, Any]]:
    """Return what the chunks of a stream add up to, by choice: text, reasoning, calls, finish."""
    whole: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            one = whole.setdefault(choice["index"], _empty())
            delta = choice.get("delta") or {}
            one["text"] += delta.get("content") or choice.get("text") or ""
            one["reasoning"] += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or ():
                _add_call(one["calls"], call)
            one["finish"] = choice.get("finish_reason") or one["finish"]
    for one in whole.values():
        one["calls"] = [[name, _parsed(arguments)] for name, arguments in one["calls"]]
    return whole


def _empty() -> dict[str, Any]:
    return {"text": "", "reasoning": "", "calls": [], "finish": None}


def _add_call(calls: list[list[str]], delta: Mapping[str, Any]) -> None:
    if delta["index"] == len(calls):
        assert delta["id"]
        calls.append([delta["function"]["name"], ""])
    calls[delta["index"]][1] += delta["function"].get("arguments") or ""


def _parsed(arguments: str) -> Any:
    """Return the arguments, whose spacing means nothing, as JSON where they are."""
    try:
        return json.loads(arguments)
    except json.JSONDecodeError:
        return arguments


def read_choices(document: Any) -> dict[int, dict[str, Any]]:
    """Return the choices of a whole answer in the form of `reassemble`."""
    whole = {}
    for choice in document["choices"]:
        message = choice.get("message") or {}
        calls = [
            [call["function"]["name"], _parsed(call["function"]["arguments"])]
            for call in message.get("tool_calls") or ()
        ]
        whole[choice["index"]] = {
            "text": message.get("content") or choice.get("text") or "",
            "reasoning": message.get("reasoning_content") or "",
            "calls": calls,
            "finish": choice["finish_reason"],
        }
    return whole
