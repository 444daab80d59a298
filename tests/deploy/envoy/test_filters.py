"""What REST clients see of the planes' answers and refusals, through a real Envoy."""

import asyncio

import httpx
import pytest

from modelplane.adapters.shared.rpc.status import error_type
from tests.deploy.envoy.conftest import TRANSCODED, WAYS, Gateway
from tests.deploy.envoy.toy_worker import NASTY

pytestmark = pytest.mark.asyncio(loop_scope="module")

INTERNAL_HEADERS = ("grpc-", "x-envoy-", "x-modelplane-error", "x-modelplane-http", "server")


def check_error(response: httpx.Response, status: int, error_code: str) -> str:
    """Check the shape that all errors have; return the message."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    error = body.pop("error", None)
    assert (error is not None) is response.request.url.path.startswith("/serving-endpoints/")
    if error is not None:
        assert error == {
            "message": body["message"],
            "type": error_type(status),
            "code": error_code,
            "param": None,
        }
    assert set(body) == {"error_code", "message"}
    assert (response.status_code, body["error_code"]) == (status, error_code)
    assert response.headers["x-request-id"]
    assert not [name for name in response.headers if name.startswith(INTERNAL_HEADERS)]
    return str(body["message"])


async def test_values_print_as_clients_expect(gateway: Gateway) -> None:
    response = await gateway.get("a")
    assert '"creation_timestamp":1699617587000,' in response.text
    assert response.json() == {
        "name": "a",
        "creation_timestamp": 1699617587000,
        "last_updated_timestamp": 0,
        "config": {
            "served_entities": [
                {
                    "name": "a",
                    "entity_version": "3",
                    "scale_to_zero_enabled": False,
                    "environment_vars": {},
                }
            ],
            "served_models": [],
            "traffic_config": {"routes": [{"served_entity_name": "a", "traffic_percentage": 0}]},
            "config_version": 1,
        },
        "tags": [],
        "permission_level": "",
    }


async def test_empty_messages_print_as_an_object(gateway: Gateway) -> None:
    response = await gateway.rest.delete("/api/2.0/serving-endpoints/a?")
    assert (response.status_code, response.text) == (200, "{}")


@pytest.mark.parametrize("suffix", ["", "/", "?", "/?"])
async def test_collections_need_no_exact_slash(gateway: Gateway, suffix: str) -> None:
    response = await gateway.rest.get("/api/2.0/serving-endpoints" + suffix)
    assert (response.status_code, response.json()) == (200, {"endpoints": []})


async def test_lenient_values_are_accepted(gateway: Gateway) -> None:
    entities = [{"name": "a", "entity_version": 3}, {"name": "b", "entity_version": "4"}]
    body = {
        "name": "a",
        "config": {
            "served_entities": entities,
            "traffic_config": {"routes": [{"traffic_percentage": "90"}]},
        },
    }
    response = await gateway.rest.post("/api/2.0/serving-endpoints/", json=body)
    versions = [each["entity_version"] for each in response.json()["config"]["served_entities"]]
    assert (response.status_code, versions) == (200, [3, "4"])


async def test_refusal_of_the_control_plane(gateway: Gateway) -> None:
    response = await gateway.get("refused")
    assert check_error(response, 409, "RESOURCE_CONFLICT") == NASTY
    assert response.headers["retry-after"] == "7"


@WAYS
async def test_refusal_of_a_worker(gateway: Gateway, path: str) -> None:
    response = await gateway.query({"mode": "refuse"}, path)
    assert check_error(response, 429, "REQUEST_LIMIT_EXCEEDED") == NASTY
    assert response.headers["retry-after"] == "3"


async def test_refusal_after_the_headers(gateway: Gateway) -> None:
    response = await gateway.query({"mode": "refuse-at-once"})
    message = check_error(response, 503, "TEMPORARILY_UNAVAILABLE")
    assert message == "after the initial metadata"
    assert response.headers["retry-after"] == "1"


async def test_long_message_arrives_shortened(gateway: Gateway) -> None:
    message = check_error(await gateway.get("long"), 400, "INVALID_PARAMETER_VALUE")
    assert set(message[:-1]) == {"漢"}
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("name", "status", "error_code"),
    [
        ("CANCELLED", 503, "TEMPORARILY_UNAVAILABLE"),
        ("UNKNOWN", 500, "INTERNAL_ERROR"),
        ("INVALID_ARGUMENT", 400, "INVALID_PARAMETER_VALUE"),
        ("DEADLINE_EXCEEDED", 504, "DEADLINE_EXCEEDED"),
        ("NOT_FOUND", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("ALREADY_EXISTS", 409, "RESOURCE_ALREADY_EXISTS"),
        ("PERMISSION_DENIED", 403, "PERMISSION_DENIED"),
        ("RESOURCE_EXHAUSTED", 429, "RESOURCE_EXHAUSTED"),
        ("FAILED_PRECONDITION", 409, "RESOURCE_CONFLICT"),
        ("ABORTED", 409, "RESOURCE_CONFLICT"),
        ("OUT_OF_RANGE", 400, "INVALID_PARAMETER_VALUE"),
        ("UNIMPLEMENTED", 501, "NOT_IMPLEMENTED"),
        ("INTERNAL", 500, "INTERNAL_ERROR"),
        ("UNAVAILABLE", 503, "TEMPORARILY_UNAVAILABLE"),
        ("DATA_LOSS", 500, "INTERNAL_ERROR"),
        ("UNAUTHENTICATED", 401, "UNAUTHENTICATED"),
    ],
)
async def test_plain_grpc_statuses(
    gateway: Gateway, name: str, status: int, error_code: str
) -> None:
    check_error(await gateway.get(name), status, error_code)


async def test_a_bug_tells_nothing(gateway: Gateway) -> None:
    message = check_error(await gateway.get("bug"), 500, "INTERNAL_ERROR")
    assert message == "The server failed unexpectedly."


async def test_text_that_is_not_utf8(gateway: Gateway) -> None:
    check_error(await gateway.get("a%ffb"), 400, "BAD_REQUEST")


@WAYS
async def test_success_headers(gateway: Gateway, path: str) -> None:
    response = await gateway.query({"a": 1}, path, headers={"x-request-id": "mine"})
    assert response.content == b'{"a":1}'
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["served-model-name"] == "toy"
    assert response.headers["x-modelplane-config-version"] == "4"
    assert not [name for name in response.headers if name.startswith(INTERNAL_HEADERS)]


async def test_a_request_id_is_made(gateway: Gateway) -> None:
    first, second = [await gateway.query({}) for _ in range(2)]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(first.headers.get_list("x-request-id")) == 1


async def test_headers_that_callers_must_not_set(gateway: Gateway) -> None:
    forged = {
        "x-modelplane-config-version": "9",
        "x-forwarded-for": "10.0.0.1",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "grpc-timeout": "1n",
        "grpc-encoding": "gzip",
        "odd-bin": "%%%",
        "kept": "yes",
    }
    response = await gateway.rest.get("/api/2.0/serving-endpoints", headers=forged)
    assert response.status_code == 200
    seen = gateway.control_plane.endpoints.metadata
    assert seen["kept"] == "yes"
    assert "10.0.0.1" not in seen["x-forwarded-for"]
    assert not {"x-modelplane-config-version", "x-envoy-upstream-rq-timeout-ms", "odd-bin"} & set(
        seen
    )


async def test_only_the_count_of_gateways_passed_comes_in(gateway: Gateway) -> None:
    names = ["", "h", "hop", "hops", "hopsy", "hop-s", "hips", "x-hops", "principal"]
    headers = {f"x-modelplane-{name}": "2" for name in names} | {"x-modelplane": "2"}
    await gateway.rest.get("/api/2.0/serving-endpoints", headers=headers)
    seen = gateway.control_plane.endpoints.metadata
    ours = {name: value for name, value in seen.items() if name.startswith("x-modelplane")}
    assert ours == {"x-modelplane-hops": "2", "x-modelplane": "2"}


async def test_the_query_cannot_rename_the_path(gateway: Gateway) -> None:
    response = await gateway.rest.get("/api/2.0/serving-endpoints/a?name=b")
    assert "`name`" in check_error(response, 400, "INVALID_PARAMETER_VALUE")


@WAYS
async def test_body_of_16_mib_arrives_unchanged(gateway: Gateway, path: str) -> None:
    body = b'{"a":"' + b"x" * (16 * 1024 * 1024 - 9) + b'"}'
    response = await gateway.rest.post(path, content=body)
    assert response.status_code == 200
    assert response.content == body


@WAYS
async def test_larger_body_is_refused(gateway: Gateway, path: str) -> None:
    body = b"x" * (17 * 1024 * 1024)
    response = await gateway.rest.post(path, content=body)
    assert "16 MiB" in check_error(response, 400, "BAD_REQUEST")


@WAYS
async def test_large_answer(gateway: Gateway, path: str) -> None:
    response = await gateway.query({"mode": "large"}, path)
    assert response.content == b"x" * (12 << 20)


@WAYS
async def test_stream_is_not_held_back(gateway: Gateway, path: str) -> None:
    toy = gateway.worker
    async with gateway.rest.stream("POST", path, json={"mode": "stream"}) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        chunks = response.aiter_raw()
        # The toy makes the next chunk only after this one has arrived here.
        for index in range(3):
            assert await anext(chunks) == f"data: {index}\n\n".encode()
            toy.go_on.set()
        assert [chunk async for chunk in chunks] == []
    assert toy.last is not None
    assert toy.last.name == "toy"
    assert toy.last.served_model_name == ("one" if path == TRANSCODED else "")


@WAYS
async def test_disconnect_cancels_the_call(gateway: Gateway, path: str) -> None:
    toy = gateway.worker
    for mode in ("hang", "hang-stream"):
        toy.started.clear()
        toy.cancelled.clear()
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            request = client.build_request("POST", path, json={"mode": mode})
            call = asyncio.ensure_future(client.send(request, stream=True))
            await toy.started.wait()
            call.cancel()
            await asyncio.wait([call])
        await toy.cancelled.wait()
