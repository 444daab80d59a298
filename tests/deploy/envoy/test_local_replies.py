"""Errors that Envoy answers by itself have the same shape as all others."""

import asyncio
import json

import httpx
import pytest

from tests.deploy.envoy.conftest import Gateway
from tests.deploy.envoy.test_filters import check_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = "/api/2.0/serving-endpoints"


@pytest.mark.parametrize(
    "path", ["/a/config-versions/x", "/a/config-versions/1:compare?to_version=x"]
)
async def test_malformed_values_in_the_url_say_what_is_wrong(gateway: Gateway, path: str) -> None:
    message = check_error(await gateway.rest.get(CREATE + path), 400, "BAD_REQUEST")
    assert message.startswith("The request does not fit this API: ")
    assert 'invalid value "x"' in message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nope"),
        ("GET", "/"),
        ("GET", "/api/2.0"),
        ("GET", "/api/2.0/nope"),
        ("GET", "/api/2.0x/serving-endpoints"),
        ("GET", "/serving-endpointsx/a/invocations"),
        ("PATCH", CREATE),
        ("OPTIONS", "/serving-endpoints/a/invocations"),
        ("GET", "/serving-endpoints/a/invocations"),
        ("POST", "/modelserving.v1.EndpointService/GetServingEndpoint"),
        ("POST", "/modelserving.worker.v1.SnapshotService/WatchConfig"),
    ],
)
async def test_unknown_paths_and_methods(gateway: Gateway, method: str, path: str) -> None:
    message = check_error(await gateway.rest.request(method, path), 404, "ENDPOINT_NOT_FOUND")
    assert message.startswith(f"No API found for '{method} {path}'.")
    below = path.startswith("/serving-endpoints/")
    assert ("GET /serving-endpoints/models," in message) is below


@pytest.mark.parametrize("name", ["a%2fb", "a%5Cb", "a%00b", "..%2f..%2fsecrets"])
async def test_escaped_separators_are_refused(gateway: Gateway, name: str) -> None:
    check_error(await gateway.get(name), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("//api//2.0/serving-endpoints", 200),
        ("/serving-endpoints/../api/2.0/serving-endpoints", 200),
        ("/serving-endpoints/%2e%2e/api/2.0/nope", 404),
        ("/api/2.0/serving-endpoints/a\xff", 400),
        ("/api/2.0/serving-endpoints/a b", 400),
    ],
)
async def test_path_tricks(gateway: Gateway, target: str, status: int) -> None:
    request = f"GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer known\r\n\r\n"
    head = await raw(gateway, request.encode("latin-1"))
    assert head[0] == status


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"POST /api/2.0/serving-endpoints HTTP/1.1\r\nhost: x\r\ncontent-length: -4\r\n\r\n",
        b"GET /api/2.0/serving-endpoints HTTP/1.1\r\nhost: x\r\nbig: "
        + b"a" * 60_000
        + b"\r\n\r\n",
    ],
)
async def test_malformed_http(gateway: Gateway, request_bytes: bytes) -> None:
    status, headers, body = await raw(gateway, request_bytes)
    assert (status, set(body)) == (400, {"error_code", "message"})
    assert body["error_code"] == "BAD_REQUEST"
    assert headers["x-request-id"]


async def raw(gateway: Gateway, data: bytes) -> tuple[int, httpx.Headers, dict[str, object]]:
    """Send bytes that no client library would; return status, headers and parsed body."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.write(data)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.strip().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    headers = httpx.Headers([(name, value) for name, _, value in pairs])
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    await writer.wait_closed()
    return int(status_line.split()[1]), headers, json.loads(body)


async def test_large_headers_reach_the_planes(gateway: Gateway) -> None:
    response = await gateway.query({"a": 1}, headers={"large": "a" * 40_000})
    assert response.status_code == 200


async def test_upgrade_is_refused(gateway: Gateway) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket"}
    check_error(await gateway.query({}, headers=headers), 403, "PERMISSION_DENIED")


async def test_well_known_config_needs_no_plane(gateway: Gateway) -> None:
    response = await gateway.rest.get("/.well-known/databricks-config")
    assert response.status_code == 200
    assert response.json() == {"oidc_endpoint": f"{gateway.url}/oidc"}
    assert response.headers["content-type"] == "application/json"
    # It repeats the host that was asked for: to that caller, and through a cache to no other.
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/.well-known/databricks-config", "/oidc/v1/keys"])
async def test_a_host_that_no_server_has_is_not_repeated(gateway: Gateway, path: str) -> None:
    for host in ("user@evil.example", "a b", "x,y", "evil.example:80:90", "[::1", "%41", "a'b"):
        response = await gateway.rest.get(path, headers={"host": host})
        assert response.status_code == 400, host
        assert host not in response.text
    for host in ("models.example.com", "10.0.0.1:8080", "[::1]:8080"):
        config = await gateway.rest.get("/.well-known/databricks-config", headers={"host": host})
        assert config.json() == {"oidc_endpoint": f"http://{host}/oidc"}
