"""Measures the push of configuration: many endpoints stored, many workers watching.

Called by `python -m bench`; see `bench/watchers.py` for the watching side.
"""

import asyncio
import json
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

import grpc
from modelserving.v1.endpoint_pb2 import (
    EndpointConfigInput,
    RateLimit,
    ServedEntity,
    ServingEndpoint,
)
from modelserving.v1.endpoint_service_pb2 import (
    CreateServingEndpointRequest,
    GetServingEndpointRequest,
    PutServingEndpointRateLimitsRequest,
    UpdateServingEndpointConfigRequest,
)
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub
from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig
from modelserving.v1.secret_service_pb2 import CreateScopeRequest, PutSecretRequest
from modelserving.v1.secret_service_pb2_grpc import SecretServiceStub

from bench.bulk import copy_endpoint, copy_endpoint_on_postgresql
from bench.children import (
    START_SECONDS,
    Child,
    child,
    free_address,
    python,
    wait_until_serving,
)
from bench.http_client import HttpAnswer, HttpConnection, build_request
from bench.processes import cpu_seconds, memory_mib, peak_memory_mib
from bench.report import Row, Table, percentile, table_of
from bench.watchers import Watchers, watching
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION, Metadata
from tests.postgres import running_postgres

_TEMPLATE = "endpoint-under-measurement"


@dataclass(frozen=True)
class ControlPlane:
    """A control plane under measurement."""

    pid: int
    api: str
    snapshots: str
    admin: Metadata


@dataclass(frozen=True)
class Scale:
    """How much is stored, watched and changed."""

    endpoints: int
    watchers: int
    updates: int


async def measure(scale: Scale) -> Table:
    """Return the measurements of the control plane and of a worker's start."""
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        directory = Path(name)
        tokens = {
            "MODELPLANE_DATA_DIR": name,
            "MODELPLANE_ADMIN_TOKEN": secrets.token_hex(16),
            "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
        }
        async with _control_plane(tokens, directory) as (plane, _):
            await _create_template(plane)
            empty = await _start_worker(plane, directory, endpoints=1)
        await asyncio.to_thread(
            copy_endpoint, directory / "modelplane.db", _TEMPLATE, scale.endpoints - 1
        )
        async with _control_plane(tokens, directory) as (plane, start_seconds):
            full = await _start_worker(plane, directory, scale.endpoints)
            rows = _start_rows(scale.endpoints, empty, full, start_seconds)
            async with watching([plane.snapshots], scale.watchers) as watchers:
                rows += await _measure_push([plane], watchers, scale, f"{scale.watchers} watchers")
            rows.append(Row("control plane peak memory", peak_memory_mib(plane.pid), "MiB"))
            return table_of("Control plane", rows)


async def measure_watchers(scale: Scale) -> list[Table]:
    """Return how long changes take to reach many watchers, of one control plane and of two.

    One is on SQLite; two share a PostgreSQL, which is that of the tests, and the watchers.
    """
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        database = Path(name) / "modelplane.db"

        async def fill(name: str, count: int) -> None:
            await asyncio.to_thread(copy_endpoint, database, name, count)

        one = await _push_table(scale, Path(name), f"sqlite:///{database}", 1, fill)
    with running_postgres() as server, tempfile.TemporaryDirectory(prefix="modelplane-b-") as name:
        copy = partial(copy_endpoint_on_postgresql, server.url())
        return [one, await _push_table(scale, Path(name), server.url(), 2, copy)]


async def _push_table(
    scale: Scale,
    directory: Path,
    database_url: str,
    replicas: int,
    fill: Callable[[str, int], Awaitable[None]],
) -> Table:
    tokens = {
        "MODELPLANE_DATA_DIR": str(directory),
        "MODELPLANE_DATABASE_URL": database_url,
        "MODELPLANE_ADMIN_TOKEN": secrets.token_hex(16),
        "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
    }
    async with _control_plane(tokens, directory) as (plane, _):
        await _create_template(plane)
    await fill(_TEMPLATE, scale.endpoints - 1)
    async with AsyncExitStack() as stack:
        planes = [
            (await stack.enter_async_context(_control_plane(tokens, directory)))[0]
            for _ in range(replicas)
        ]
        watching_all = watching([plane.snapshots for plane in planes], scale.watchers)
        watchers = await stack.enter_async_context(watching_all)
        label = f"{scale.watchers} watchers of {replicas}"
        rows = await _measure_push(planes, watchers, scale, label)
    kind = "one control plane on SQLite" if replicas == 1 else f"{replicas} on PostgreSQL"
    return table_of(f"Changes with {scale.endpoints:,} endpoints, {kind}", rows)


@asynccontextmanager
async def _control_plane(
    tokens: Mapping[str, str], directory: Path
) -> AsyncIterator[tuple[ControlPlane, float]]:
    api, snapshots = free_address(), free_address()
    settings = {
        **tokens,
        "MODELPLANE_CONTROL_PLANE_LISTEN": api,
        "MODELPLANE_SNAPSHOT_LISTEN": snapshots,
        "MODELPLANE_CONTROL_PLANE_METRICS_LISTEN": free_address(),
        "MODELPLANE_LOG_LEVEL": "warning",
        "MODELPLANE_DRAIN_SECONDS": "1",
    }
    start = time.perf_counter()
    async with child(
        *python("modelplane.control_plane"), settings=settings, directory=directory
    ) as process:
        await wait_until_serving(api, process)
        admin = ((AUTHORIZATION, f"Bearer {tokens['MODELPLANE_ADMIN_TOKEN']}"),)
        plane = ControlPlane(process.pid, api, snapshots, admin)
        yield plane, time.perf_counter() - start


@dataclass(frozen=True)
class _WorkerStart:
    seconds: float
    cpu_seconds: float
    memory_mib: float
    peak_memory_mib: float


async def _start_worker(plane: ControlPlane, directory: Path, endpoints: int) -> _WorkerStart:
    address = free_address()
    settings = {
        "MODELPLANE_CONTROL_PLANE": plane.snapshots,
        "MODELPLANE_WORKER_LISTEN": address,
        "MODELPLANE_WORKER_METRICS_LISTEN": free_address(),
        "MODELPLANE_LOG_LEVEL": "warning",
        "MODELPLANE_DRAIN_SECONDS": "1",
    }
    start = time.perf_counter()
    async with child(
        *python("modelplane.data_plane"), settings=settings, directory=directory
    ) as process:
        await _until_ready(address, process)
        seconds = time.perf_counter() - start
        if (held := await _count_endpoints(address, plane.admin)) != endpoints:
            raise RuntimeError(f"the worker serves with {held} of {endpoints} endpoints")
        return _WorkerStart(
            seconds,
            cpu_seconds(process.pid),
            memory_mib(process.pid),
            peak_memory_mib(process.pid),
        )


async def _until_ready(worker: str, process: Child) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            process.check()
            try:
                if (await _get(worker, "/health", {})).status == HTTPStatus.OK:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.01)


async def _count_endpoints(worker: str, admin: Metadata) -> int:
    answer = await _get(worker, "/ai-gateway/mlflow/v1/models", dict(admin))
    return len(json.loads(answer.body)["data"])


async def _get(worker: str, path: str, headers: Mapping[str, str]) -> HttpAnswer:
    url = f"http://{worker}{path}"
    connection = await HttpConnection.open(url)
    try:
        return await connection.request(build_request("GET", url, headers))
    finally:
        await connection.aclose()


def _start_rows(
    endpoints: int, empty: _WorkerStart, full: _WorkerStart, control_plane_seconds: float
) -> list[Row]:
    stored = f"{endpoints:,} endpoints"
    return [
        Row(f"control plane start, {stored}", control_plane_seconds, "s"),
        Row("worker start, 1 endpoint, with interpreter", empty.seconds, "s"),
        Row(f"worker start, {stored}, with interpreter", full.seconds, "s"),
        Row(f"worker load of {stored}", full.seconds - empty.seconds, "s", "goal < 2"),
        Row(f"worker load CPU, {stored}", full.cpu_seconds - empty.cpu_seconds, "s"),
        Row("worker memory, 1 endpoint", empty.memory_mib, "MiB"),
        Row(
            f"worker memory above that, {stored}",
            full.memory_mib - empty.memory_mib,
            "MiB",
            "goal < 150",
        ),
        Row(
            f"worker peak memory above that, {stored}",
            full.peak_memory_mib - empty.peak_memory_mib,
            "MiB",
        ),
    ]


async def _create_template(plane: ControlPlane) -> None:
    async with grpc.aio.insecure_channel(plane.api) as channel:
        stub = SecretServiceStub(channel)
        await stub.CreateScope(CreateScopeRequest(scope="bench"), metadata=plane.admin)
        secret = PutSecretRequest(scope="bench", key="key", string_value="sk-bench")
        await stub.PutSecret(secret, metadata=plane.admin)
        await EndpointServiceStub(channel).CreateServingEndpoint(
            CreateServingEndpointRequest(name=_TEMPLATE, config=_config(_TEMPLATE)),
            metadata=plane.admin,
        )


def _config(model: str) -> EndpointConfigInput:
    provider = OpenAiConfig(
        openai_api_key="{{secrets/bench/key}}", openai_api_base="http://127.0.0.1:9/v1"
    )
    external = ExternalModel(
        name=model, provider="openai", task="llm/v1/chat", openai_config=provider
    )
    return EndpointConfigInput(served_entities=[ServedEntity(name=model, external_model=external)])


async def _measure_push(
    planes: Sequence[ControlPlane], watchers: Watchers, scale: Scale, label: str
) -> list[Row]:
    """Return what changes through the first of some control planes take, of all of them."""
    plane = planes[0]

    def used() -> float:
        return sum(cpu_seconds(one.pid) for one in planes)

    async with grpc.aio.insecure_channel(plane.api) as channel:
        stub = EndpointServiceStub(channel)

        async def update_config(endpoint: ServingEndpoint, number: int) -> object:
            return await stub.UpdateServingEndpointConfig(
                UpdateServingEndpointConfigRequest(
                    name=endpoint.name, config=_config(f"{endpoint.name}-{number}")
                ),
                metadata=plane.admin,
            )

        async def update_limits(endpoint: ServingEndpoint, number: int) -> object:
            limit = RateLimit(calls=number + 1, key="endpoint", renewal_period="minute")
            return await stub.PutServingEndpointRateLimits(
                PutServingEndpointRateLimitsRequest(name=endpoint.name, rate_limits=[limit]),
                metadata=plane.admin,
            )

        endpoints = await _choose(channel, plane, scale)
        # Not counted: a control plane that has just started takes no step of a rollout for a while.
        await _time_changes("first", watchers, endpoints[:1], update_config, messages=2)
        before = used()
        rows = await _time_changes(
            f"rate limits (one phase), {label}", watchers, endpoints, update_limits, messages=1
        )
        between = used()
        rows += await _time_changes(
            f"config (prepare + activate), {label}", watchers, endpoints, update_config, messages=2
        )
        after = used()
        per_change = 1000 / scale.updates
        return [
            *rows,
            Row(
                f"a secret of {scale.endpoints:,} endpoints, {label}: control plane CPU for each",
                await _rotate(plane, watchers, used) / scale.endpoints,
                "ms",
            ),
            Row("control plane CPU per rate limits change", (between - before) * per_change, "ms"),
            Row("control plane CPU per config change", (after - between) * per_change, "ms"),
        ]


async def _choose(
    channel: grpc.aio.Channel, plane: ControlPlane, scale: Scale
) -> list[ServingEndpoint]:
    stub = EndpointServiceStub(channel)
    chosen = random.Random(1).choices(range(1, scale.endpoints), k=scale.updates)
    return [
        await stub.GetServingEndpoint(
            GetServingEndpointRequest(name=f"{_TEMPLATE}-{number}"), metadata=plane.admin
        )
        for number in chosen
    ]


async def _rotate(plane: ControlPlane, watchers: Watchers, used: Callable[[], float]) -> float:
    """Put another value in the place of all endpoints' secret; return the CPU of it, in ms."""
    before = used()
    watchers.expect("bench/key")
    async with grpc.aio.insecure_channel(plane.api) as channel:
        secret = PutSecretRequest(scope="bench", key="key", string_value="sk-other")
        await SecretServiceStub(channel).PutSecret(secret, metadata=plane.admin)
    await watchers.wait_acknowledged("bench/key", 1)
    return 1000 * (used() - before)


async def _time_changes(
    label: str,
    watchers: Watchers,
    endpoints: list[ServingEndpoint],
    change: Callable[[ServingEndpoint, int], Awaitable[object]],
    messages: int,
) -> list[Row]:
    # From the call, which is before the commit: the time from the commit can only be shorter.
    to_last_ack: list[float] = []
    to_answer: list[float] = []
    for number, endpoint in enumerate(endpoints):
        watchers.expect(endpoint.id)
        start = time.perf_counter()
        await change(endpoint, number)
        to_answer.append(time.perf_counter() - start)
        last_ack = await watchers.wait_acknowledged(endpoint.id, messages)
        to_last_ack.append(last_ack - start)
    rows = []
    for name, values in (("last ack", to_last_ack), ("answer", to_answer)):
        values.sort()
        for title, value in (
            ("p50", percentile(values, 0.5)),
            ("p99", percentile(values, 0.99)),
            ("max", values[-1]),
        ):
            goal = "goal < 100" if (name, title) == ("last ack", "p99") else ""
            rows.append(Row(f"{label}: call to {name}, {title}", value * 1000, "ms", goal))
    return rows
