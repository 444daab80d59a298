"""Run a grpc.aio server: health, reflection, and a drain when it is told to stop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from modelplane.adapters.shared.rpc.sizes import MAX_HEAD_BYTES, MAX_MESSAGE_BYTES

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # The default is less, and refuses what is larger as a quota error.
    ("grpc.max_metadata_size", MAX_HEAD_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_HEAD_BYTES),
    ("grpc.so_reuseport", 0),
    # Watch streams are idle between changes: pings find a dead peer within seconds.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Health:
    """The standard gRPC health service, as one switch for the whole server."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def set_serving(self, *, serving: bool) -> None:
        """Report the server as serving or not."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        await self.servicer.set("", status.SERVING if serving else status.NOT_SERVING)


def new_server(
    service_names: Sequence[str],
    health_servicer: health_pb2_grpc.HealthServicer,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """Return a server with health and reflection, to which the caller adds its services.

    Args:
        service_names: Full names of the services that reflection lists.
        health_servicer: Answers the standard health checks.
        interceptors: Run around each call, outermost first.
    """
    server = grpc.aio.server(options=OPTIONS, interceptors=list(interceptors))
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


@asynccontextmanager
async def running(
    server: grpc.aio.Server,
    address: str,
    drain_seconds: float,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[int]:
    """Serve on `address` and yield the port; on leaving, let calls in flight end.

    Args:
        server: Server with all its services.
        address: `host:port`; port 0 picks a free one.
        drain_seconds: How long calls in flight may go on once the server stops.
        credentials: TLS of the server; None for plaintext.

    Raises:
        RuntimeError: The address cannot be bound.
    """
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(drain_seconds)
