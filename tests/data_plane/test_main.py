import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1 import inference_service_pb2_grpc as pb_grpc

from modelplane.data_plane.settings import load_settings
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.child import python_command
from modelplane.deploy.local.http_client import HttpClient
from tests.data_plane.conftest import collect, metadata, payload
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.messages import endpoint, endpoint_config, external_entity, snapshot
from tests.emulators.openai import API_KEY, OpenAiEmulator


def test_settings_come_from_flags_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPLANE_REQUEST_TIMEOUT_SECONDS", "7")
    settings = load_settings(["--control-plane", "a:1, b:2", "--worker-listen", "127.0.0.1:5"])
    assert settings.targets == ["a:1", "b:2"]
    assert settings.worker_listen == "127.0.0.1:5"
    assert settings.request_timeout_seconds == 7
    assert settings.worker_id != load_settings([]).worker_id


async def log_line(process: asyncio.subprocess.Process, message: str) -> dict[str, Any]:
    assert process.stderr is not None
    while line := await asyncio.wait_for(process.stderr.readline(), 240):
        # gRPC's own library writes there, too.
        if line.startswith(b"{") and (found := json.loads(line))["message"] == message:
            return dict(found)
    raise AssertionError(f"no log line says {message!r}")


@asynccontextmanager
async def started(*flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    own = ("--worker-metrics-listen", "127.0.0.1:0", "--allowed-upstreams", "127.0.0.1")
    with TemporaryDirectory() as journal:
        flags = (*own, "--journal-dir", journal, *flags)
        process = await asyncio.create_subprocess_exec(
            *python_command("modelplane.data_plane"), *flags, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_a_worker_drains_when_told_to_stop(
    control_plane: FakeControlPlane, bridge: Bridge
) -> None:
    # Else it would wait until it is ready before it takes over what another has left.
    bridge.forget()
    flags = ("--control-plane", control_plane.target, "--worker-listen", bridge.listen)
    async with started(*flags) as process:
        await check_drain(process, control_plane, bridge)


async def check_drain(
    process: asyncio.subprocess.Process, control_plane: FakeControlPlane, bridge: Bridge
) -> None:
    page = (await log_line(process, "the worker serves"))["metrics_port"]
    await control_plane.next()
    assert await ready(page) == 503
    async with (
        OpenAiEmulator() as emulator,
        grpc.aio.insecure_channel(bridge.target) as channel,
    ):
        entity = external_entity(openai_api_base=emulator.url, openai_api_key_plaintext=API_KEY)
        control_plane.push(snapshot(1, endpoint("chat", endpoint_config(entity))))
        await control_plane.next()
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await ready(page) == 200
        emulator.misbehave("trickle")
        call = query(channel, {"messages": [{"role": "user", "content": "a"}], "stream": True})
        first = await call.read()
        process.send_signal(signal.SIGTERM)
        await log_line(process, "the worker drains")
        rest = await collect(call)
        assert rest.status == 200
        assert (first.data + b"".join(rest.messages)).endswith(b"data: [DONE]\n\n")
    assert await asyncio.wait_for(process.wait(), 240) == 0


async def ready(port: int) -> int:
    client = HttpClient(Address("127.0.0.1", port))
    return (await client.call("GET", "/ready")).status


def query(channel: grpc.aio.Channel, body: object) -> Any:
    request = pb.QueryRequest(name="chat", payload=payload(body))
    return pb_grpc.InferenceServiceStub(channel).Query(request, metadata=metadata())


async def test_a_taken_port_is_one_clear_line(control_plane: FakeControlPlane) -> None:
    async with started("--worker-listen", control_plane.target) as process:
        line = await log_line(process, "the worker cannot start")
        assert control_plane.target.rpartition(":")[2] in line["reason"]
        assert await asyncio.wait_for(process.wait(), 240) == 1
