"""The lines to hosts: whoever connects is asked for a token, and the cluster says whose it is.

Before: the host's own `../service.py`. After: `hosts.py`, one of them; `launcher.py`, all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import grpc
from modelserving.launcher.v1 import launcher_service_pb2_grpc
from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec, SyncRequest, SyncResponse

from modelplane.adapters.shared.rpc.sizes import MAX_MESSAGE_BYTES
from modelplane.adapters.shared.rpc.tls import TlsFiles, server_credentials
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.cluster.cluster import ClusterAway, Identity, Stranger
from modelplane.launcher.cluster.hosts import Host

_log = logging.getLogger(__name__)

_BEARER = "Bearer "
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
    ("grpc.so_reuseport", 0),
)
_STOP_SECONDS = 1.0
_Context = grpc.aio.ServicerContext[SyncRequest, SyncResponse]


class Register(Protocol):
    """Knows the hosts."""

    async def identify(self, token: str) -> Identity:
        """Return who has a token; raises `Stranger` and `ClusterAway`."""

    def find(self, identity: Identity) -> Host:
        """Return the host that somebody is."""

    def order(self, host: Host) -> GroupSpec | None:
        """Return what a host is told; None: nothing yet."""


class HostServicer(launcher_service_pb2_grpc.LauncherServiceServicer):
    """Serves `LauncherService` to hosts."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def Sync(
        self, request_iterator: AsyncIterator[SyncRequest], context: _Context
    ) -> AsyncIterator[SyncResponse]:
        """Keep a host in step until it leaves."""
        identity = await self._identify(context)
        host = self._register.find(identity)
        session = host.enter()
        if not session:
            await context.abort(
                grpc.StatusCode.ALREADY_EXISTS, "This host is connected; it has one line."
            )
            raise AssertionError("abort returned")
        fields = log_fields(host=identity.host, group_id=identity.group_id)
        _log.info("a host has registered", extra=fields)
        reader = asyncio.create_task(host.read(session, request_iterator))
        try:
            async for response in host.orders(session, self._register.order):
                yield response
        finally:
            reader.cancel()
            host.leave(session)
            _log.info("the line to a host has ended", extra=fields)
        await context.abort(grpc.StatusCode.ABORTED, "The line has ended; register anew.")

    async def _identify(self, context: _Context) -> Identity:
        metadata = dict(context.invocation_metadata() or ())
        sent = str(metadata.get("authorization", ""))
        try:
            return await self._register.identify(sent.removeprefix(_BEARER))
        except Stranger as error:
            _log.warning("a stranger wants to register", extra=log_fields(reason=str(error)))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except ClusterAway as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort returned")


@asynccontextmanager
async def listening(register: Register, address: str, files: TlsFiles) -> AsyncIterator[int]:
    """Let hosts register, by TLS alone; yield the port.

    Args:
        register: Knows them.
        address: `host:port` to listen on.
        files: The launcher's certificate. Hosts have none, and are asked for a token instead.

    Raises:
        OSError: A file cannot be read, or the address not be listened on.
    """
    server = grpc.aio.server(options=_OPTIONS)
    launcher_service_pb2_grpc.add_LauncherServiceServicer_to_server(HostServicer(register), server)
    try:
        port = server.add_secure_port(address, server_credentials(files, mutual=False))
    except RuntimeError as error:
        raise OSError(f"hosts cannot register on {address}: it cannot be listened on") from error
    await server.start()
    try:
        yield port
    finally:
        await server.stop(_STOP_SECONDS)
