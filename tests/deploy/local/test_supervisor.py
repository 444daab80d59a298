"""`modelplane up` with its real parts: what it promises about starts, deaths and stops."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
from pathlib import Path

import httpx
import pytest

from modelplane.deploy.envoy.routes import QUERY_PATH
from tests.deploy.local.deployments import running, start, until_dead

ENDPOINTS = "/api/2.0/serving-endpoints"
# A launcher takes time to start, and only one test is about it.
PLANES = ("--no-hosting",)


async def test_refuses_a_second_start_and_a_taken_port(tmp_path: Path) -> None:
    async with running(tmp_path / "one", *PLANES) as first:
        again = await start(tmp_path / "one", "--port", "0")
        line = await again.until_said("another `modelplane up`")
        assert f"pid {first.process.pid}" in line
        assert await again.process.wait() == 1
        other = await start(tmp_path / "two", "--port", str(first.public.port))
        line = await other.until_said("cannot listen on")
        assert str(first.public.port) in line
        assert await other.process.wait() == 1
        assert (again.lines, other.lines) == ([again.lines[0]], [other.lines[0]])
        assert (await first.client.call("GET", ENDPOINTS)).ok
        assert "launcher" not in first.state


async def test_files_are_for_their_owner_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    async with running(tmp_path / "d", *PLANES) as deployment:
        token = (deployment.data_dir / "admin-token").read_text()
        line = await deployment.until_said("admin token:")
        assert token.strip() in line
        assert stat.S_IMODE(deployment.data_dir.stat().st_mode) == 0o700
        for name in ("admin-token", "tls/worker.key", "envoy.json", "up.json", "master-key"):
            assert stat.S_IMODE((deployment.data_dir / name).stat().st_mode) == 0o600
        before = deployment.state
        assert await deployment.stop() == 0
    assert not (tmp_path / "d" / "up.json").exists()
    envoy = tmp_path / "d" / "envoy.json"
    assert QUERY_PATH in envoy.read_text()
    async with running(tmp_path / "d", *PLANES, "--queries", "transcoded", "--open") as deployment:
        assert "browser" in await deployment.until_said("browser")
        assert QUERY_PATH not in envoy.read_text()
        after = deployment.state
        assert (deployment.data_dir / "admin-token").read_text() == token
        assert after["control_plane"]["grpc"] == before["control_plane"]["grpc"]
        assert (await deployment.client.call("GET", ENDPOINTS)).ok


async def test_parts_that_die_are_started_again(tmp_path: Path) -> None:
    async with running(tmp_path / "d", *PLANES, "--workers", "2") as deployment:
        for number, name in enumerate(["envoy", "control-plane", "worker-1"]):
            before = deployment.state
            os.kill(deployment.pids[number], signal.SIGKILL)
            line = await deployment.until_said(f"{name} was killed")
            assert "SIGKILL" in line
            while deployment.state == before or None in deployment.pids:
                await asyncio.sleep(0.02)
            assert deployment.public.port == int(before["url"].rpartition(":")[2])
            while not (await deployment.client.call("GET", "/health")).ok:
                await asyncio.sleep(0.02)
        while not (await deployment.client.call("GET", ENDPOINTS)).ok:
            await asyncio.sleep(0.02)


@pytest.mark.long
async def test_parts_that_are_told_to_end_again_and_again_are_back(tmp_path: Path) -> None:
    """The first time they would end their calls before, which nobody can wait for."""
    async with running(tmp_path / "d", *PLANES) as deployment:
        pids = deployment.pids
        for pid in 5 * pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.05)
        for pid in pids:
            await until_dead(pid)
        while (await deployment.client.call("GET", ENDPOINTS)).status != 200:
            await asyncio.sleep(0.05)
        assert None not in deployment.pids
        assert not set(deployment.pids) & set(pids)
        assert await deployment.stop() == 0


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    async with running(tmp_path / "d", *PLANES, "--workers", "2") as deployment:
        pids = deployment.pids
        deployment.process.kill()
        await deployment.process.wait()
        for pid in pids:
            await until_dead(pid)


async def test_a_full_disk_ends_nothing_that_serves(tmp_path: Path) -> None:
    async with running(tmp_path / "d", *PLANES) as deployment:
        pid, worker = deployment.process.pid, deployment.pids[2]
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        # As a full disk does: what the supervisor writes from now on fails.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        os.kill(worker, signal.SIGKILL)
        assert "File too large" in await deployment.until_said("up.json is out of date")
        assert (await deployment.client.call("GET", ENDPOINTS)).ok
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        while deployment.pids[2] in (None, worker):
            await asyncio.sleep(0.02)
        # The worker that was started meanwhile still cannot write; the next one can.
        os.kill(deployment.pids[2], signal.SIGKILL)
        while not (await deployment.client.call("GET", "/health")).ok:
            await asyncio.sleep(0.02)
        assert await deployment.stop() == 0


async def test_a_disk_that_takes_nothing_is_told_in_one_line(tmp_path: Path) -> None:
    async with running(tmp_path / "d", *PLANES) as deployment:
        assert await deployment.stop() == 0

    def full() -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

    again = await start(tmp_path / "d", "--port", "0", before=full)
    line = await again.until_said("modelplane up:")
    assert "cannot use the data directory" in line
    assert "File too large" in line
    assert await again.process.wait() == 1
    assert again.lines == [line]


async def test_a_part_that_cannot_start_is_named(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    deployment = await start(tmp_path / "d", "--port", "0", "--database-url", url)
    line = await deployment.until_said("does not")
    assert line.startswith("modelplane up: ")
    assert await deployment.process.wait() == 1


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("MODELPLANE_UPSTREAM_ORIGINS", "'bad' is not ORIGIN=ORIGIN"),
        ("MODELPLANE_STREAM_IDLE_SECONDS", "MODELPLANE_STREAM_IDLE_SECONDS: 'bad' is not a number"),
    ],
)
async def test_a_wrong_setting_of_a_worker_is_named(
    tmp_path: Path, variable: str, words: str
) -> None:
    deployment = await start(tmp_path / "d", "--port", "0", settings={variable: "bad"})
    line = await deployment.until_said("worker-1 does not start")
    assert words in line
    assert await deployment.process.wait() == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_stop_lets_requests_in_flight_end(tmp_path: Path, workers: int) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()
    upstream = await asyncio.start_server(
        lambda reader, writer: _answer_late(reader, writer, arrived, answer), "127.0.0.1", 0
    )
    base = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/v1"
    options = ("--workers", str(workers))
    async with upstream, running(tmp_path / "d", *PLANES, *options) as deployment:
        created = await deployment.client.call("POST", ENDPOINTS, _endpoint(base))
        assert created.ok, created.body
        pids, url, token = deployment.pids, deployment.state["url"], deployment.client.token
        async with httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as client:
            body = {"messages": [{"role": "user", "content": "hi"}]}
            call = asyncio.ensure_future(
                client.post("/serving-endpoints/slow/invocations", json=body)
            )
            await arrived.wait()
            stopped = asyncio.ensure_future(deployment.stop())
            await _until_refused(deployment.public.host, deployment.public.port)
            assert not stopped.done()
            assert not call.done()
            answer.set()
            response = await call
        assert (response.status_code, response.json()["id"]) == (200, "late")
        assert await stopped == 0
        for pid in pids:
            await until_dead(pid)


def _endpoint(base: str) -> dict[str, object]:
    external_model = {
        "name": "m",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_base": base, "openai_api_key_plaintext": "k"},
    }
    return {
        "name": "slow",
        "config": {"served_entities": [{"name": "m", "external_model": external_model}]},
    }


async def _answer_late(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    arrived: asyncio.Event,
    answer: asyncio.Event,
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    arrived.set()
    await answer.wait()
    message = {"role": "assistant", "content": "hi"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps({"id": "late", "object": "chat.completion", "choices": choices}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def _until_refused(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)


async def test_a_launcher_runs_beside_the_planes_and_is_started_again(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as deployment:
        while not (pid := deployment.state.get("launcher", {}).get("pid")):
            await asyncio.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        await deployment.until_said("launcher was killed by SIGKILL")
        while deployment.state["launcher"]["pid"] in (pid, None):
            await asyncio.sleep(0.02)
        pid = deployment.state["launcher"]["pid"]
        assert await deployment.stop() == 0
        await until_dead(pid)
