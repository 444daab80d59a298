"""The application that Envoy loads, before its worker has started; Envoy's tests run it whole."""

import json

import pytest

from modelplane.data_plane.embedded import EmbeddedWorker
from tests.adapters.rpc.asgi import Exchange


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_says_why_the_worker_is_not_ready(method: str) -> None:
    worker = EmbeddedWorker(watched=False)
    exchange = Exchange("/health", [], (b"",))

    async def ask(scope: dict[str, object], receive: object, send: object) -> None:
        await worker({**scope, "type": "http", "method": method}, receive, send)  # type: ignore[arg-type]

    await exchange.run(ask)
    assert exchange.status == 503
    assert exchange.headers == {"content-type": "application/json", "retry-after": "1"}
    if method == "HEAD":
        assert exchange.body == b""
    else:
        assert json.loads(exchange.body) == {
            "error_code": "TEMPORARILY_UNAVAILABLE",
            "message": "The worker is not ready: starting.",
        }
