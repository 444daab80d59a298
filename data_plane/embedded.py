"""The worker inside Envoy: an ASGI application that pyvoy loads, `app` or `replica`.

Envoy is started by `deploy`, with this worker's settings in its environment; it terminates HTTP,
and hands over gRPC calls (`asgi_host.py`) and queries of the REST API (`rest_host.py`). The worker
lives from the start of the application's lifespan to its end
(https://asgi.readthedocs.io/en/latest/specs/lifespan.html).
"""

import logging
from contextlib import AsyncExitStack

import orjson
from prometheus_client import REGISTRY

from modelplane.adapters.telemetry import configure_logging, log_fields, serve_metrics
from modelplane.data_plane.hosts.asgi_host import AsgiHost
from modelplane.data_plane.hosts.asgi_sender import Event, Receive, Send
from modelplane.data_plane.hosts.asgi_service import AsgiService
from modelplane.data_plane.hosts.departures import Lookout
from modelplane.data_plane.hosts.health_check import health_check
from modelplane.data_plane.hosts.rest_host import PREFIX, RestHost
from modelplane.data_plane.process import new_clocks, tune_garbage_collection, wall_ms
from modelplane.data_plane.settings import environment_settings
from modelplane.data_plane.snapshots.readiness import Readiness
from modelplane.data_plane.worker import RPCS, assembled, following

_log = logging.getLogger("modelplane.data_plane")
_OK = 200
_UNAVAILABLE = 503


class EmbeddedWorker:
    """An ASGI application that runs a worker."""

    def __init__(self, *, watched: bool) -> None:
        """Make a worker that has not started.

        Args:
            watched: Whether something checks its health and asks another one if need be. If not,
                it refuses by itself what it should not answer.
        """
        self._watched = watched
        self._grpc: AsgiHost | None = None
        self._rest: RestHost | None = None
        self._readiness: Readiness | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Carry one call, or run the worker for the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/health":
            await self._tell_health(scope["method"], send)
        elif self._rest is not None and scope["path"].startswith(PREFIX):
            await self._rest(scope, receive, send)
        elif self._grpc is not None:
            await self._grpc(scope, receive, send)

    async def _tell_health(self, method: str, send: Send) -> None:
        obstacle = self._readiness.obstacle() if self._readiness else "starting"
        told = {"status": "SERVING"}
        headers = [(b"content-type", b"application/json")]
        if obstacle:
            message = f"The worker is not ready: {obstacle}."
            told = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": message}
            headers.append((b"retry-after", b"1"))
        status = _UNAVAILABLE if obstacle else _OK
        body = b"" if method == "HEAD" else orjson.dumps(told)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await self._start(stack)
            except (OSError, RuntimeError, ValueError) as error:
                _log.error("the worker cannot start", extra=log_fields(reason=str(error)))
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = environment_settings()
        configure_logging(settings.log_level)
        host, _, port = settings.worker_metrics_listen.rpartition(":")
        metrics_port = serve_metrics(host, int(port), REGISTRY)
        tune_garbage_collection()
        worker = await stack.enter_async_context(
            assembled(settings, REGISTRY, new_clocks(), wall_ms)
        )
        await stack.enter_async_context(following(worker))
        checks = health_check(worker.readiness)
        ready = _always if self._watched else worker.readiness.serving
        service = AsgiService(worker.inference, ready, Lookout())
        self._rest = RestHost(service)
        self._grpc = AsgiHost(RPCS, service, checks)
        self._readiness = worker.readiness
        fields = log_fields(worker_id=settings.worker_id, metrics_port=metrics_port)
        _log.info("the worker serves inside Envoy", extra=fields)


def _always() -> bool:
    return True


# The only worker, in the Envoy on the public port.
app = EmbeddedWorker(watched=False)
# One of several, behind that Envoy.
replica = EmbeddedWorker(watched=True)
