"""Which request of a connection is carried by whom; used by `../server.py`.

Before: `http1/connection.py`. After: `rest.py`, `grpc/calls.py`.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.head import encode_fields
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.protocols.routes import NativeRoute, find_route

HEALTH = b"/health"
_JSON = ("content-type", "application/json")
_OK, _NOT_FOUND, _METHOD_NOT_ALLOWED, _UNAVAILABLE = 200, 404, 405, 503


class Routes:
    """Carries each request to the codec of its protocol; see `connection.Application`."""

    def __init__(
        self,
        rest: RestCalls,
        native: NativeCalls,
        grpc: GrpcCalls,
        obstacle: Callable[[], str],
    ) -> None:
        """Carry requests.

        Args:
            rest: Takes queries of the REST API.
            native: Takes queries of native protocols.
            grpc: Takes gRPC calls.
            obstacle: Returns why the worker may not be sent traffic now; empty: it may.
        """
        self._rest = rest
        self._native = native
        self._grpc = grpc
        self._obstacle = obstacle

    def __call__(self, connection: Connection) -> Coroutine[Any, Any, None]:
        """Return what answers a request."""
        path, _, parameters = connection.target.partition(b"?")
        if connection.headers.get("content-type", "").startswith("application/grpc"):
            if connection.method == b"POST":
                return self._grpc.carry(connection)
        elif found := self._rest.find(path):
            if connection.method == b"POST":
                return self._rest.carry(connection, *found)
            return _refuse(connection, _METHOD_NOT_ALLOWED, "Only POST is allowed here.")
        elif route := find_route(path, parameters):
            return self._carry_native(connection, route)
        if path == HEALTH and connection.method in (b"GET", b"HEAD"):
            return self._tell_health(connection)
        return _refuse(connection, _NOT_FOUND, "There is no such route.")

    def _carry_native(
        self, connection: Connection, route: NativeRoute
    ) -> Coroutine[Any, Any, None]:
        if connection.method == route.verb:
            return self._native.carry(connection, route)
        allowed = f"Only {route.verb.decode()} is allowed here."
        return _refuse(connection, _METHOD_NOT_ALLOWED, allowed)

    async def _tell_health(self, connection: Connection) -> None:
        if obstacle := self._obstacle():
            message = f"The worker is not ready: {obstacle}."
            _answer(
                connection, _UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", message, ("retry-after", "1")
            )
        else:
            fields = encode_fields((_JSON,))
            connection.respond(_OK, fields, orjson.dumps({"status": "SERVING"}))


async def _refuse(connection: Connection, status: int, message: str) -> None:
    code = "ENDPOINT_NOT_FOUND" if status == _NOT_FOUND else "BAD_REQUEST"
    _answer(connection, status, code, message)


def _answer(
    connection: Connection, status: int, code: str, message: str, *fields: tuple[str, str]
) -> None:
    text = orjson.dumps({"error_code": code, "message": message})
    connection.respond(status, encode_fields((_JSON, *fields)), text)
