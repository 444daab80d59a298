"""A field that is not known is refused by name, on every route of management and at any depth."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub

from tests.e2e import raw
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator
from tests.protos.bodies import METHODS, body_of, objects_in, rule_of

LIMITS: Json = {"rate_limits": [{"calls": 5, "key": "endpoint", "renewal_period": "minute"}]}


def refused(rest: Rest, method: str, path: str, body: object = None) -> str:
    answer = rest.send(method, path, body)
    error = answer.json()
    assert answer.status_code == 400, answer.text
    assert error["error_code"] == "INVALID_PARAMETER_VALUE"
    return str(error["message"])


def test_a_mistyped_config_creates_nothing(rest: Rest, provider: OpenAiEmulator) -> None:
    body = endpoint("mistyped", entity(provider))
    body["confg"] = body.pop("config")
    message = refused(rest, "POST", ENDPOINTS, body)
    assert message == "Unknown field `confg`; did you mean `config`?"
    assert rest.call("GET", ENDPOINTS)["endpoints"] == []


def test_mistyped_settings_change_nothing(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("kept", entity(provider), ai_gateway=LIMITS))
    wrong = {"rate_limit": LIMITS["rate_limits"]}
    message = refused(rest, "PUT", f"{ENDPOINTS}/kept/ai-gateway", wrong)
    assert message == "Unknown field `rate_limit`; did you mean `rate_limits`?"
    gateway = rest.call("GET", f"{ENDPOINTS}/kept/ai-gateway")
    assert gateway["rate_limits"] == LIMITS["rate_limits"]


def routes(method: MethodDescriptor) -> Iterator[tuple[str, str]]:
    """Yield method and path of a route, also as clients write it that end paths with a slash."""
    verb, path, _ = rule_of(method)
    for name in re.findall(r"{(\w+)}", path):
        field = method.input_type.fields_by_name[name]
        path = path.replace(
            f"{{{name}}}", "x" if field.type == FieldDescriptor.TYPE_STRING else "1"
        )
    yield verb, path
    if verb in ("GET", "POST") and path == ENDPOINTS:
        yield verb, f"{path}/"


def bodies(method: MethodDescriptor) -> Iterator[tuple[Any, str]]:
    """Yield bodies of a route with one unknown field each, and the path of that field."""
    _, path, name = rule_of(method)
    if not name:
        yield {"extra": 1}, "extra"
        return
    field: Any = method.input_type if name == "*" else method.input_type.fields_by_name[name]
    whole = body_of(field if name == "*" else field.message_type)
    for bound in re.findall(r"{(\w+)}", path):
        whole.pop(bound, None)
    places = [place for item, place in objects_in(whole) if "any" not in item]
    for place in places:
        body = deepcopy(whole)
        [item] = [item for item, where in objects_in(body) if where == place]
        item["extra"] = 1
        yield body, f"{place}.extra" if place else "extra"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_route_refuses_an_unknown_field(rest: Rest, method: MethodDescriptor) -> None:
    scim = method.containing_service.name == "IdentityService"
    for verb, path in routes(method):
        for body, where in bodies(method):
            # SCIM's attributes are an open set, but for those at the top.
            if where.endswith("environment_vars.extra") or (scim and "." in where):
                continue
            assert f"Unknown field `{where}`" in refused(rest, verb, path, body)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_route_refuses_an_unknown_parameter(rest: Rest, method: MethodDescriptor) -> None:
    for verb, path in routes(method):
        message = refused(rest, verb, f"{path}?extra=1", {} if rule_of(method)[2] else None)
        assert "Unknown query parameter `extra`" in message


def test_both_spellings_are_known(rest: Rest, provider: OpenAiEmulator) -> None:
    external = entity(provider)["external_model"]
    external["openaiConfig"] = external.pop("openai_config")
    served = [{"name": "chat", "externalModel": external}]
    rest.create({"name": "camel", "config": {"servedEntities": served}})
    assert rest.query("camel", CHAT).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"name": "twice", "name": "twice"}', "`name` is given twice"),
        (b'{"tags": [], "config": {"x": 1}, "config": {}}', "Unknown field `config.x`"),
        (b'{"name": "x", /* no */ "tags": []}', "is not JSON"),
        (b'{"description": 7}', "description must be a string, not a number"),
        (json.dumps({"tags": [{"key": "k"}] * 60_000}).encode(), "too many values"),
        (b'{"description": "' + b"x" * 5_000_000 + b'"}', "at most 4194304 are accepted"),
    ],
    ids=["twice", "hidden by a twin", "comment", "type", "many", "large"],
)
def test_what_a_lenient_reader_would_let_pass(rest: Rest, body: bytes, words: str) -> None:
    answer = rest.send("POST", ENDPOINTS, data=body)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


def test_a_stranger_is_told_nothing_of_fields(system: System) -> None:
    with Rest(system, "dapi-of-nobody") as stranger:
        assert stranger.send("POST", ENDPOINTS, {"confg": 1}).status_code == 401


def test_headers_cannot_hide_a_parameter(system: System) -> None:
    forged = (b"x-envoy-original-path: /api/2.0/serving-endpoints",)
    answer = raw.send(system, b"GET", ENDPOINTS.encode() + b"?extra=1", headers=forged)
    assert "Unknown query parameter `extra`" in answer.json()["message"]


def credentials(system: System) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {system.token}"),)


def test_the_form_of_rest_is_not_reached_over_grpc(system: System) -> None:
    name = "/modelserving.v1.EndpointServiceOverRest/ListServingEndpoints"
    with grpc.insecure_channel(system.target) as channel:
        call: Any = channel.unary_unary(name)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=credentials(system))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_grpc_keeps_to_the_rules_of_protobuf(system: System, rest: Rest) -> None:
    """A field number that is not known belongs to a newer version of the protos, and is ignored."""
    request = pb.CreateServingEndpointRequest.FromString(
        pb.CreateServingEndpointRequest(name="newer").SerializeToString() + b"\xc2\x3e\x01x"
    )
    with grpc.insecure_channel(system.target) as channel:
        stub = EndpointServiceStub(channel)
        stub.CreateServingEndpoint(request, metadata=credentials(system))
    assert rest.call("GET", f"{ENDPOINTS}/newer")["name"] == "newer"
