"""What carries a native request is gone with it."""

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.native import NativeReply
from modelplane.data_plane.protocols.routes import find_route

PASSED, LISTED = "messages", "models"


class ToyConnection:
    """Has a request's head."""

    headers: Mapping[str, str] = {}


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("path", [PASSED, LISTED])
def test_no_reply_waits_for_the_garbage_collector(path: str) -> None:
    route = find_route(f"/ai-gateway/anthropic/v1/{path}".encode())
    assert route is not None
    connection = ToyConnection()
    alive = weakref.ref(connection)
    reply = NativeReply(cast("Connection", connection), route, lambda: 0.0)
    if path == LISTED:
        assert reply.encode({"data": []})
    else:
        reply.request({"model": "a"}, b"")
    del connection, reply
    assert alive() is None
