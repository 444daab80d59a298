import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from modelserving.worker.v1 import metrics_service_pb2_grpc as pb_grpc
from modelserving.worker.v1.metrics_service_pb2 import (
    ReportMetricsRequest,
    ReportMetricsResponse,
)
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.control_link import ControlLink, LinkDown
from modelplane.adapters.shared.rpc.server import OPTIONS
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.settings import Settings
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics_reporter import (
    INTERVAL_SECONDS,
    GrpcSink,
    MetricsReporter,
)
from tests.data_plane.conftest import System
from tests.data_plane.conftest import serving as serving_worker
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane, MovableClock
from tests.data_plane.messages import endpoint, endpoint_config, snapshot
from tests.emulators.openai import OpenAiEmulator


class FakeSink:
    """Takes reports; with `away` set, they are lost on their way, or only the answer is."""

    def __init__(self) -> None:
        self.received: list[ReportMetricsRequest] = []
        self.away = False

    async def report(self, request: ReportMetricsRequest) -> None:
        self.received.append(request)
        if self.away:
            raise LinkDown("away")

    def numbers(self) -> list[tuple[int, int]]:
        """Number and calls of each report."""
        return [
            (request.sequence, request.endpoints[0].entities[0].requests[200])
            for request in self.received
        ]


class Ticks:
    """A sleep that ends when told to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._turn = asyncio.Queue[None]()
        self.waits = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.waits.set()
        await self._turn.get()

    async def tick(self) -> None:
        """Let one sleep end, and what follows run up to the next one."""
        await self.waits.wait()
        self.waits.clear()
        self._turn.put_nowait(None)
        await self.waits.wait()


def reporter(meters: Meters, sink: Any, seed: int = 1) -> MetricsReporter:
    return MetricsReporter(meters, sink, Random(seed), asyncio.sleep)


def count(meters: Meters, calls: int = 1) -> None:
    for _ in range(calls):
        meters.observe("a", "gpt", 200, 0.1, None)


async def test_reports_are_numbered_and_hold_what_is_new() -> None:
    meters, sink = Meters(), FakeSink()
    reporting = reporter(meters, sink)
    await reporting.report()
    count(meters, 2)
    await reporting.report()
    await reporting.report()
    count(meters)
    await reporting.report()
    assert sink.numbers() == [(1, 2), (2, 1)]
    assert len({request.reporter_id for request in sink.received}) == 1


async def test_a_report_is_sent_again_unchanged_until_it_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    meters, sink = Meters(), FakeSink()
    reporting = reporter(meters, sink)
    sink.away = True
    for _ in range(3):
        count(meters)
        await reporting.report()
    sink.away = False
    await reporting.report()
    assert sink.numbers() == [(1, 1), (1, 1), (1, 1), (1, 1), (2, 2)]
    warnings = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert len(warnings) == 1


async def test_a_long_query_does_not_keep_the_reporter_busy() -> None:
    meters, sink = Meters(), FakeSink()
    meters.begin("a")
    await reporter(meters, sink).report()
    assert [request.endpoints[0].in_flight for request in sink.received] == [1]


async def test_processes_tell_themselves_apart() -> None:
    sink = FakeSink()
    for seed in (1, 2):
        meters = Meters()
        count(meters)
        await reporter(meters, sink, seed).report()
    assert len({request.reporter_id for request in sink.received}) == 2


async def test_it_reports_from_time_to_time() -> None:
    meters, sink, ticks = Meters(), FakeSink(), Ticks()
    reporting = MetricsReporter(meters, sink, Random(1), ticks.sleep)
    running = asyncio.create_task(reporting.run())
    for _ in range(2):
        count(meters)
        await ticks.tick()
    running.cancel()
    assert sink.numbers() == [(1, 1), (2, 1)]
    assert set(ticks.asked) == {INTERVAL_SECONDS}


class Servicer(pb_grpc.MetricsServiceServicer):
    """A control plane that keeps what it is told."""

    def __init__(self) -> None:
        self.received: list[ReportMetricsRequest] = []

    async def ReportMetrics(  # noqa: N802 - named by the service
        self, request: ReportMetricsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> ReportMetricsResponse:
        del context
        self.received.append(request)
        return ReportMetricsResponse()


@asynccontextmanager
async def serving(servicer: Servicer) -> AsyncIterator[str]:
    server = grpc.aio.server(options=OPTIONS)
    pb_grpc.add_MetricsServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_the_control_plane_that_answers_gets_the_report() -> None:
    servicer = Servicer()
    async with serving(servicer) as target:
        request = ReportMetricsRequest(reporter_id="r", sequence=1)
        async with aclosing(ControlLink(["127.0.0.1:1", target], None)) as link:
            await GrpcSink(link).report(request)
    assert servicer.received == [request]


async def test_a_worker_that_stops_has_reported_everything(
    control_plane: FakeControlPlane, bridge: Bridge, tmp_path: Path
) -> None:
    servicer = Servicer()
    async with serving(servicer) as target:
        settings = Settings(
            # The first one has no service of this kind: the next one is asked.
            control_plane=f"{control_plane.target},{target}",
            worker_id="worker-1",
            journal_dir=str(tmp_path),
            allowed_upstreams="127.0.0.1",
        )
        clocks = Clocks(MovableClock(), asyncio.sleep, Random(1))
        registry = CollectorRegistry()
        async with (
            OpenAiEmulator() as emulator,
            serving_worker(bridge, settings, registry, clocks) as channel,
        ):
            system = System(control_plane, emulator, registry, channel, MovableClock())
            await control_plane.next()
            config = endpoint_config(system.entity("gpt"))
            await system.apply(snapshot(1, endpoint("chat", config)))
            hello = {"messages": [{"role": "user", "content": "hello"}]}
            answer = await system.query("chat", hello)
            await system.query("chat", {})
    [counts] = [item for request in servicer.received for item in request.endpoints]
    assert (counts.endpoint_id, counts.in_flight) == ("id-chat", 0)
    entities = {item.served_entity_name: item for item in counts.entities}
    assert dict(entities["gpt"].requests) == {200: 1}
    assert dict(entities[""].requests) == {400: 1}
    assert entities["gpt"].output_tokens == answer.json["usage"]["completion_tokens"]
