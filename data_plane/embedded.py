"""The worker inside Envoy: an ASGI application that pyvoy loads, `app` or `replica`.

Envoy is started by `deploy`, with this worker's settings in its environment; it terminates HTTP,
transcodes, and hands over gRPC calls (`asgi_host.py`). The worker lives from the start of the
application's lifespan to its end (https://asgi.readthedocs.io/en/latest/specs/lifespan.html).
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import orjson
from prometheus_client import REGISTRY

from adapters.telemetry import configure_logging, log_fields, serve_metrics
from data_plane.hosts.asgi_host import AsgiHost
from data_plane.hosts.health_check import health_check
from data_plane.process import new_clocks, tune_garbage_collection, wall_ms
from data_plane.settings import environment_settings
from data_plane.snapshots.readiness import Readiness
from data_plane.worker import RPCS, assembled, following

_Event: TypeAlias = dict[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]
_log = logging.getLogger("data_plane")
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
        self._host: AsgiHost | None = None
        self._readiness: Readiness | None = None

    async def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        """Carry one call, or run the worker for the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/health":
            await self._tell_health(scope["method"], send)
        elif self._host is not None:
            await self._host(scope, receive, send)

    async def _tell_health(self, method: str, send: _Send) -> None:
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

    async def _live(self, receive: _Receive, send: _Send) -> None:
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
        self._host = AsgiHost(RPCS, worker.inference, ready, checks)
        self._readiness = worker.readiness
        fields = log_fields(worker_id=settings.worker_id, metrics_port=metrics_port)
        _log.info("the worker serves inside Envoy", extra=fields)


def _always() -> bool:
    return True


# The only worker, in the Envoy on the public port.
app = EmbeddedWorker(watched=False)
# One of several, behind that Envoy.
replica = EmbeddedWorker(watched=True)
