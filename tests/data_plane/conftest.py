"""A worker in the loop of a test: Envoy and a fake control plane before, an emulator behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1 import inference_service_pb2_grpc as pb_grpc
from modelserving.worker.v1 import snapshot_service_pb2 as watch_pb
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, as_mapping
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.server import running_worker
from modelplane.data_plane.settings import Settings
from tests.adapters.providers.authority import authority_file, one_authority
from tests.adapters.providers.upstream import Upstream
from tests.data_plane.envoy import Bridge, bridging
from tests.data_plane.fakes import FakeClock, FakeControlPlane, MovableClock
from tests.data_plane.messages import TOKEN, external_entity
from tests.emulators.openai import API_KEY, OpenAiEmulator

__all__ = ["authority_file", "one_authority"]

WALL_MS = 1_700_000_000_000.0


@dataclass
class Answer:
    """What a caller got; `status` is the HTTP status that Envoy would show."""

    status: int = 200
    error_code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    messages: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(b"".join(self.messages))

    @property
    def events(self) -> list[Any]:
        """The events of a stream; the last one is checked to be the end marker, or an error."""
        blocks = b"".join(self.messages).decode().split("\n\n")
        assert blocks.pop() == ""
        assert all(block.startswith("data: ") for block in blocks)
        values = [block.removeprefix("data: ") for block in blocks]
        return [value if value == "[DONE]" else json.loads(value) for value in values]


@dataclass
class System:
    """A worker, what it watches and what it calls."""

    control_plane: FakeControlPlane
    emulator: OpenAiEmulator
    registry: CollectorRegistry
    channel: grpc.aio.Channel
    time: MovableClock

    def entity(self, name: str = "gpt-4", **fields: str) -> Any:
        config = {"openai_api_base": self.emulator.url, "openai_api_key_plaintext": API_KEY}
        return external_entity(name, **{**config, **fields})

    async def apply(self, message: watch_pb.WatchConfigResponse) -> list[watch_pb.Nack]:
        """Push a message and return the nacks that came before its ack."""
        self.control_plane.push(message)
        nacks = []
        while (answer := await self.control_plane.next()).WhichOneof("message") != "ack":
            if answer.HasField("nack"):
                nacks.append(answer.nack)
        return nacks

    async def query(self, name: str, body: object, **options: Any) -> Answer:
        call = self.start_query(name, body, **options)
        return await collect(call)

    def start_query(
        self, name: str, body: object, *, served: str = "", timeout: float | None = 240, **rest: Any
    ) -> Any:
        stub = pb_grpc.InferenceServiceStub(self.channel)
        request = pb.QueryRequest(name=name, served_model_name=served, payload=payload(body))
        return stub.Query(request, metadata=metadata(**rest), timeout=timeout)

    async def openai(self, method: str, body: object, **rest: Any) -> Answer:
        rpc = getattr(pb_grpc.InferenceServiceStub(self.channel), method)
        call = rpc(pb.OpenAiRequest(payload=payload(body)), metadata=metadata(**rest), timeout=240)
        return await collect(call)

    async def list_models(self) -> Answer:
        stub = pb_grpc.InferenceServiceStub(self.channel)
        return await collect(stub.ListModels(pb.ListModelsRequest(), metadata=metadata()))


def payload(body: object) -> HttpBody:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpBody(content_type="application/json", data=data)


def metadata(token: str | None = TOKEN, **extra: str) -> tuple[tuple[str, str], ...]:
    own = () if token is None else (("authorization", f"Bearer {token}"),)
    return (*own, *((key.replace("_", "-"), value) for key, value in extra.items()))


async def collect(call: Any) -> Answer:
    answer = Answer()
    try:
        # Not iterated over: a test may have read the first messages by itself.
        while (message := await call.read()) is not grpc.aio.EOF:
            answer.content_type = answer.content_type or message.content_type
            answer.messages.append(message.data)
        answer.headers = dict(as_mapping(await call.initial_metadata()))
    except grpc.aio.AioRpcError as error:
        trailers = dict(as_mapping(error.trailing_metadata()))
        answer.status = int(trailers.pop(HTTP_STATUS, "0"))
        answer.error_code = trailers.pop(ERROR_CODE, error.code().name)
        answer.message = error.details() or ""
        answer.headers = trailers
    return answer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def control_plane() -> AsyncIterator[FakeControlPlane]:
    server = FakeControlPlane()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridging(tmp_path_factory.mktemp("bridge")) as made:
        yield made


@asynccontextmanager
async def serving(
    bridge: Bridge, settings: Settings, registry: CollectorRegistry, clocks: Clocks
) -> AsyncIterator[grpc.aio.Channel]:
    """Run a worker behind the Envoy, and yield a channel to it."""
    placed = replace(settings, worker_listen=bridge.listen, notice_seconds=0.0)
    async with (
        running_worker(placed, registry, clocks, lambda: WALL_MS) as worker,
        grpc.aio.insecure_channel(bridge.target) as channel,
    ):
        # Tests push configurations when they like: what is not ready yet answers all the same.
        worker.listener.take_over()
        yield channel


@asynccontextmanager
async def running_system(
    bridge: Bridge, control_plane: FakeControlPlane, directory: Path, **changes: Any
) -> AsyncIterator[System]:
    """Run a worker with its surroundings; `changes` are settings of its own."""
    registry = CollectorRegistry()
    settings = Settings(
        control_plane=control_plane.target,
        worker_id="worker-1",
        journal_dir=str(directory / "journal"),
        payload_dir=str(directory / "payloads"),
        allowed_upstreams="127.0.0.1",
        # A busy machine takes long: what is to be late says so itself.
        request_timeout_seconds=60.0,
        stream_idle_seconds=60.0,
        stream_seconds=120.0,
        drain_seconds=1.0,
    )
    clock = MovableClock()
    clocks = Clocks(clock, asyncio.sleep, Random(1))
    async with (
        OpenAiEmulator() as emulator,
        serving(bridge, replace(settings, **changes), registry, clocks) as channel,
    ):
        assert (await control_plane.next()).HasField("hello")
        yield System(control_plane, emulator, registry, channel, clock)


@pytest.fixture
async def system(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[System]:
    changes: dict[str, Any] = getattr(request, "param", {})
    async with running_system(bridge, control_plane, tmp_path, **changes) as one:
        yield one


def bounded(**changes: Any) -> pytest.MarkDecorator:
    """Return a mark of tests whose system has settings of its own."""
    return pytest.mark.parametrize("system", [changes], indirect=True, ids=["bounded"])


async def until_it_is_late(
    emulator: OpenAiEmulator, ask: Callable[[float], Awaitable[object]]
) -> None:
    """Ask with a deadline that passes while a provider has the question, and wait for its end.

    Args:
        emulator: The provider, which does not answer.
        ask: Asks, with so many seconds for the answer.
    """
    seen = len(emulator.requests)
    # A busy machine may take longer than the first one until the provider is reached.
    for seconds in (0.3, 5.0, 50.0):
        await ask(seconds)
        if len(emulator.requests) > seen:
            break
    assert len(emulator.requests) > seen
    await emulator.seen_cancelled.wait()
