"""What a failed attempt says of its upstream, and what is sent again: over relays of fakes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from random import Random
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.errors import (
    AdapterError,
    CredentialUnavailable,
    HostUnresolved,
    ImageRefused,
    OutOfFiles,
    ProviderFailed,
    UnusableAnswer,
)
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import Image, Query
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import DeadlineExceeded, UpstreamResting
from modelplane.data_plane.limits.admission import Unlimited
from modelplane.data_plane.snapshots.policy import Policy
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.circuit import Circuit, Circuits
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hosted_relay import HostedRelay
from modelplane.data_plane.upstreams.relay import Relay, Timeouts
from modelplane.data_plane.upstreams.upstream import Resends, Upstream
from tests.adapters.providers.conformance import CASES, CapturedReply
from tests.data_plane.fakes import FakeClock
from tests.data_plane.upstreams.test_attempts import MODES

# No entity here is a hosted model.
NO_HOSTED = cast("HostedRelay", None)


class FakeRelay(Relay):
    """Has all the time in the world."""

    def __init__(self) -> None:
        self.now = FakeClock()

    def expiry(self, call: Call, endpoint: Endpoint) -> float:
        del call, endpoint
        return inf


class RefusingRelay(FakeRelay):
    """Asks at each attempt whether it may send the request once more."""

    def __init__(self) -> None:
        super().__init__()
        self.repeated = 0

    async def answer(self, exchange: Exchange, entity: ServedEntity, *rest: Any) -> None:
        del exchange, entity
        resends: Resends = rest[0]
        resends.stale()
        if resends.may_repeat("CredentialRefused"):
            self.repeated += 1
        assert resends.may_repeat("CredentialRefused", in_passing=True)


async def test_what_is_sent_again_within_an_attempt_has_the_budget_of_all_retries() -> None:
    circuits, registry = Circuits(FakeClock(), Random(1)), CollectorRegistry()
    circuit, relay = circuits.find(ENTITY.upstream), RefusingRelay()
    attempts = Attempts(relay, NO_HOSTED, circuits, AttemptMetrics(registry), Random(1))
    for _ in range(20):
        exchange = exchange_of(Call(Method.QUERY))
        await attempts.answer(exchange, (ENTITY,))
        told = [attempt.error for attempt in exchange.record.attempts]
        assert told[0] == "StaleConnection"
        assert told[-2:] == ["CredentialRefused", ""]
    # Three to begin with, and one for every ten calls.
    assert relay.repeated == 5
    assert not circuit.take_retry()
    value = registry.get_sample_value
    assert value("modelplane_retries_total", {"error": "StaleConnection"}) == 20
    assert value("modelplane_retries_total", {"error": "CredentialRefused"}) == 25


async def test_an_error_of_one_conversation_in_mid_stream_is_no_outage() -> None:
    circuits = Circuits(FakeClock(), Random(1))
    attempts = Attempts(
        BrokenRelay(), NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1)
    )
    for _ in range(10):
        await attempts.answer(exchange_of(Call(Method.QUERY), stream=True), (ENTITY,))
    assert not circuits.find(ENTITY.upstream).open


@pytest.mark.parametrize("answers_others", [True, False])
async def test_slowness_is_the_upstreams_unless_it_answers_others(*, answers_others: bool) -> None:
    circuits = Circuits(FakeClock(), Random(1))
    circuit = circuits.find(ENTITY.upstream)
    relay = SlowRelay(circuit if answers_others else None)
    attempts = Attempts(relay, NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1))
    for _ in range(10):
        with pytest.raises((DeadlineExceeded, UpstreamResting)):
            await attempts.answer(exchange_of(Call(Method.QUERY)), (ENTITY,))
    assert circuit.open is not answers_others


class BrokenRelay(FakeRelay):
    """Its streams begin, then the model breaks off."""

    async def stream(self, *_: Any) -> UnusableAnswer:
        return UnusableAnswer("p", "broke off")


class SlowRelay(FakeRelay):
    """Takes too long, while the upstream may answer others."""

    def __init__(self, circuit: Circuit | None) -> None:
        super().__init__()
        self._circuit = circuit

    async def answer(self, *_: Any) -> None:
        if self._circuit is not None:
            self._circuit.succeed()
        raise DeadlineExceeded("too slow")


ENDPOINT = Endpoint("id", "chat", None, None)


ADAPTER = build_adapter(CASES[0].model("http://127.0.0.1:1"))


ENTITY = ServedEntity("first", "openai", "llm/v1/chat", ADAPTER, ())


def exchange_of(call: Call, *, stream: bool = False) -> Exchange:
    return Exchange(
        call,
        CapturedReply(),
        Record("r-1", 0.0),
        ENDPOINT,
        Query({}, stream=stream),
        Unlimited(),
    )


class LeavingRelay(FakeRelay):
    """Its caller goes away."""

    async def answer(self, *_: Any) -> None:
        raise asyncio.CancelledError


async def test_a_caller_who_leaves_while_probing_lets_the_next_probe() -> None:
    clock = FakeClock()
    circuits = Circuits(clock, Random(1))
    circuit = circuits.find(b"")
    while not circuit.open:
        circuit.fail()
    clock.now += 10
    attempts = Attempts(
        LeavingRelay(), NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1)
    )
    with pytest.raises(asyncio.CancelledError):
        await attempts.answer(exchange_of(Call(Method.QUERY)), (ENTITY,))
    assert circuit.admit() == 0


class StalledUpstream:
    """Never answers."""

    async def send_all(self, *_: object) -> None:
        await asyncio.Event().wait()

    def open(self, *_: object) -> Awaitable[None]:
        return self.send_all()


class CutRelay(FakeRelay):
    """Its caller's deadline passes while the stream goes on."""

    async def stream(self, *_: Any) -> DeadlineExceeded:
        return DeadlineExceeded("too slow", by_caller=True)


class FailingRelay(Relay):
    """Fails with what it was given, before the upstream is asked."""

    def __init__(self, error: AdapterError) -> None:
        self.now = FakeClock()
        self._timeouts = Timeouts(10, 10)
        self._error = error

    async def answer(self, *_: Any) -> None:
        raise self._error


@pytest.mark.parametrize(
    "cls",
    [HostUnresolved, OutOfFiles, CredentialUnavailable, ImageRefused],
    ids=lambda cls: cls.__name__,
)
async def test_what_never_reached_an_upstream_says_nothing_of_it(cls: type[AdapterError]) -> None:
    circuits = Circuits(FakeClock(), Random(1))
    circuit = circuits.find(ENTITY.upstream)
    relay = FailingRelay(cls("openai", "no"))
    attempts = Attempts(relay, NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1))
    for _ in range(10):
        with pytest.raises(cls):
            await attempts.answer(exchange_of(Call(Method.QUERY)), (ENTITY,))
    assert (circuit.open, circuit.answered) == (False, 0)


class SlowImages(StalledUpstream):
    """Fetches images that take longer than the provider may; then the provider stalls."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    async def fetch_images(
        self, provider: str, urls: Sequence[str], owner: str, arriving: Callable[[int], None]
    ) -> Mapping[str, Image]:
        del provider, owner, arriving
        self.fetched += urls
        await asyncio.sleep(0.01)
        return {url: Image("image/png", b"a") for url in urls}

    async def send_all(self, *_: object) -> None:
        if len(self.fetched):
            raise ProviderFailed("amazon-bedrock", "no")


async def test_images_take_no_time_of_the_provider_and_are_fetched_once() -> None:
    case = next(case for case in CASES if case.name.startswith("amazon-bedrock/claude-3-sonnet"))
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    entity = ServedEntity("a", "amazon-bedrock", case.task, adapter, (), b"bedrock")
    circuits = Circuits(FakeClock(), Random(1))
    upstream = SlowImages()
    relay = Relay(cast("Upstream", upstream), cast("Any", None), Timeouts(10, 10))
    metrics = AttemptMetrics(CollectorRegistry())
    attempts = Attempts(relay, NO_HOSTED, circuits, metrics, Random(1), sleep=_no_pause)
    image = {"type": "image_url", "image_url": {"url": "http://images.test/a.png"}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "what is it?"}]}]
    exchange = exchange_of(Call(Method.QUERY))
    exchange.query = Query({"messages": messages}, stream=False)
    policy = Policy(max_retries=2, first_byte_seconds=0.005)
    exchange.endpoint = Endpoint("id", "chat", None, None, policy=policy)
    with pytest.raises(ProviderFailed):
        await attempts.answer(exchange, (entity,))
    assert len(exchange.record.attempts) == 3
    assert upstream.fetched == ["http://images.test/a.png"]


async def _no_pause(_seconds: float) -> None:
    return


@pytest.mark.parametrize(("deadline", "opens"), [(0.001, False), (5, True), (None, True)])
@MODES
async def test_a_caller_in_a_hurry_does_not_break_an_upstream_for_others(
    deadline: float | None, *, opens: bool, stream: bool
) -> None:
    circuits = Circuits(FakeClock(), Random(1))
    relay = Relay(cast("Upstream", StalledUpstream()), cast("Any", None), Timeouts(0.002, 0.002))
    attempts = Attempts(relay, NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1))
    for _ in range(10):
        call = Call(Method.QUERY, deadline_seconds=deadline)
        exchange = exchange_of(call, stream=stream)
        with pytest.raises((DeadlineExceeded, UpstreamResting)):
            await attempts.answer(exchange, (ENTITY,))
    assert circuits.find(ENTITY.upstream).open is opens


async def test_nor_does_one_whose_deadline_passes_in_the_middle_of_a_stream() -> None:
    circuits = Circuits(FakeClock(), Random(1))
    attempts = Attempts(
        CutRelay(), NO_HOSTED, circuits, AttemptMetrics(CollectorRegistry()), Random(1)
    )
    for _ in range(10):
        await attempts.answer(exchange_of(Call(Method.QUERY), stream=True), (ENTITY,))
    assert not circuits.find(ENTITY.upstream).open
