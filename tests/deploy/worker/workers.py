"""A real `modelplane worker` as a child process of a test, before an upstream that waits."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1 import inference_service_pb2_grpc as pb_grpc

from modelplane.adapters.settings import environment
from modelplane.deploy.child import python_command
from modelplane.deploy.envoy.options import Address
from tests.data_plane.conftest import metadata, payload
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.messages import endpoint, endpoint_config, external_entity, snapshot

CHAT = {"messages": [{"role": "user", "content": "a"}]}
ANYWHERE = Address("127.0.0.1", 0)
STREAM = {**CHAT, "stream": True}


@dataclass
class Worker:
    """One `modelplane worker` and what it says."""

    process: asyncio.subprocess.Process
    control_plane: FakeControlPlane
    address: Address = ANYWHERE
    admin: Address = ANYWHERE

    async def said(self, message: str) -> dict[str, Any]:
        """Return the next log line with `message`, waiting for it."""
        assert self.process.stderr is not None
        seen = []
        while line := await self.process.stderr.readline():
            # Envoy and gRPC's own library write there, too.
            if line.startswith(b"{") and (found := json.loads(line))["message"] == message:
                return dict(found)
            seen.append(line)
        raise AssertionError(f"no log line says {message!r}: {seen}")

    @property
    def envoy(self) -> int:
        """Process id of the Envoy."""
        pid = self.process.pid
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    async def ended(self) -> int:
        """Wait for the end and return the exit status."""
        # Not `wait`, which would wait for ever once the pipe is full.
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@contextlib.asynccontextmanager
async def started(
    control_plane: FakeControlPlane, journal: Path, *flags: str
) -> AsyncIterator[Worker]:
    """Run a worker; what it does is up to the test."""
    own = {
        "control-plane": control_plane.target,
        "worker-listen": "127.0.0.1:0",
        "worker-metrics-listen": "127.0.0.1:0",
        "allowed-upstreams": "127.0.0.1",
        "journal-dir": str(journal),
    }
    given = [part for name, value in own.items() for part in (f"--{name}", value)]
    inherited = {
        name: value for name, value in environment().items() if not name.startswith("MODELPLANE_")
    }
    process = await asyncio.create_subprocess_exec(
        *python_command("modelplane"),
        "worker",
        *given,
        *flags,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # What a killed one leaves behind goes with what the test leaves.
        env={**inherited, "TMPDIR": str(journal.parent)},
    )
    try:
        yield Worker(process, control_plane)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def serving(journal: Path, upstream: "SlowUpstream", *flags: str) -> AsyncIterator[Worker]:
    """Run a worker that serves the endpoint `chat`."""
    control_plane = FakeControlPlane()
    await control_plane.start()
    async with started(control_plane, journal, *flags) as worker:
        try:
            said = await worker.said("the worker serves")
            # A worker without an Envoy tells its port alone.
            worker.address = Address.parse(said.get("listen") or f"127.0.0.1:{said['port']}")
            worker.admin = Address.parse(said.get("admin") or str(ANYWHERE))
            entity = external_entity(openai_api_base=upstream.url)
            control_plane.push(snapshot(1, endpoint("chat", endpoint_config(entity))))
            while not (await control_plane.next()).HasField("ack"):
                pass
            yield worker
        finally:
            await control_plane.stop()


class SlowUpstream:
    """A provider that begins a stream and waits before it ends it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.go_on.set()
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            if asked.get("stream"):
                await self._stream(writer)
            else:
                choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}}
                body = json.dumps({"id": "1", "choices": [choice]}).encode()
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
                writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        writer.write(head + _event("first"))
        await writer.drain()
        await self.go_on.wait()
        writer.write(_event("last") + b"data: [DONE]\n\n")
        await writer.drain()


def _event(content: str) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "1", "choices": [choice]}).encode() + b"\n\n"


def query(channel: grpc.aio.Channel, body: object) -> Any:
    """Start a call of the endpoint."""
    request = pb.QueryRequest(name="chat", payload=payload(body))
    return pb_grpc.InferenceServiceStub(channel).Query(request, metadata=metadata())
