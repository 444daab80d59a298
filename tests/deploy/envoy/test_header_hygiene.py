"""Nothing that a caller says of itself reaches a plane, whatever the protocol and the spelling."""

import asyncio
from collections.abc import Mapping

import grpc
import pytest
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1 import endpoint_service_pb2_grpc as pb_grpc
from modelserving.v1 import inference_service_pb2 as inference_pb
from modelserving.v1 import inference_service_pb2_grpc as inference_pb_grpc

from tests.deploy.envoy.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = "6.6.6.6"
NAMES = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-client-cert",
    "x-modelplane-principal",
    "x-modelplane-origin",
    "x-modelplane-http-status",
    "x-modelplane-error-code",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-envoy-retry-on",
    "x-envoy-peer-metadata",
    "forwarded",
    "x-real-ip",
    "x-remote-user",
    "proxy-authorization",
    "cookie",
    "x-ui-session",
    "x-api-key",
)
CONTROL_PLANE = "/api/2.0/serving-endpoints"
WORKER = "/serving-endpoints/toy/invocations"


def check(metadata: Mapping[str, str]) -> None:
    assert metadata["kept"] == "yes", "the call did not arrive"
    assert not [name for name, value in metadata.items() if FORGED in value], metadata
    # What is there all the same is Envoy's own.
    assert metadata.get("x-forwarded-proto", "http") == "http"


def seen(gateway: Gateway, path: str) -> Mapping[str, str]:
    plane = gateway.control_plane.endpoints if path == CONTROL_PLANE else gateway.worker
    metadata, plane.metadata = plane.metadata, {}
    return metadata


@pytest.mark.parametrize("path", [CONTROL_PLANE, WORKER])
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("copies", [1, 2])
async def test_http_1(gateway: Gateway, path: str, spelling: object, copies: int) -> None:
    assert callable(spelling)
    lines = [f"{spelling(name)}: {FORGED}" for name in NAMES for _ in range(copies)]
    method, body = ("GET", "") if path == CONTROL_PLANE else ("POST", "{}")
    head = [f"{method} {path} HTTP/1.1", "Host: x", "Kept: yes", "Connection: close", *lines]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    check(seen(gateway, path))


@pytest.mark.parametrize("path", [CONTROL_PLANE, WORKER])
async def test_http_2(gateway: Gateway, path: str) -> None:
    sent = [argument for name in NAMES for argument in ("-H", f"{name}: {FORGED}")] * 2
    body = [] if path == CONTROL_PLANE else ["-d", "{}", "-H", "content-type: application/json"]
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--http2-prior-knowledge",
        *("-H", "kept: yes"),
        *("-H", "authorization: Bearer known"),
        *sent,
        *body,
        gateway.url + path,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output == b"2 200"
    check(seen(gateway, path))


async def test_grpc(gateway: Gateway) -> None:
    metadata = (("kept", "yes"), *((name, FORGED) for name in NAMES for _ in range(2)))
    stub = pb_grpc.EndpointServiceStub(gateway.channel)
    await stub.ListServingEndpoints(pb.ListServingEndpointsRequest(), metadata=metadata)
    check(seen(gateway, CONTROL_PLANE))
    request = inference_pb.QueryRequest(name="toy")
    request.payload.data = b"{}"
    worker = inference_pb_grpc.InferenceServiceStub(gateway.channel)
    call = worker.Query(request, metadata=metadata)
    assert [part async for part in call]
    check(seen(gateway, WORKER))
    assert await call.code() is grpc.StatusCode.OK


async def test_the_planes_learn_the_address_that_envoy_sees(gateway: Gateway) -> None:
    await gateway.rest.get(CONTROL_PLANE, headers={"x-forwarded-for": FORGED, "kept": "yes"})
    address = seen(gateway, CONTROL_PLANE)["x-forwarded-for"]
    assert address
    assert "," not in address
