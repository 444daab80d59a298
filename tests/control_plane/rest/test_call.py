"""REST calls as Envoy hands them over, for every RPC of management."""

import json
from typing import Any

import pytest
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import assume, given
from hypothesis import strategies as st
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1.usage_service_pb2 import ListUsageRequest

from modelplane.adapters.shared.rpc.over_rest import BODY_NUMBER
from modelplane.control_plane.errors import ControlPlaneError, InvalidParameter, MalformedRequest
from modelplane.control_plane.rest.call import RestCall, RestMethod, find_rest_method
from tests.protos.bodies import METHODS, body_of, objects_in, rule_of

ENDPOINTS = "/modelserving.v1.EndpointServiceOverRest/"
CREATE, UPDATE, GET, DELETE, COMPARE, RATES, GATEWAY, LOGS = (
    f"{ENDPOINTS}{name}"
    for name in (
        "CreateServingEndpoint",
        "UpdateServingEndpointConfig",
        "GetServingEndpoint",
        "DeleteServingEndpoint",
        "CompareServingEndpointConfigVersions",
        "PutServingEndpointRateLimits",
        "PutServingEndpointAiGateway",
        "GetServedModelLogs",
    )
)


def envoys(request: Message, body: bytes | None) -> bytes:
    """Return what Envoy sends: path and query string in their fields, the body beside them."""
    content = request.SerializeToString()
    # Envoy sends the body as a message in two parts, of which the first is empty.
    for part in [] if body is None else [b"", httpbody_pb2.HttpBody(data=body).SerializeToString()]:
        content += _varint(BODY_NUMBER << 3 | 2) + _varint(len(part)) + part
    return content


def _varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + _varint(rest) if rest else bytes([head])


def method_at(path: str) -> RestMethod:
    method = find_rest_method(path)
    assert method is not None
    return method


def read(path: str, request: Message, body: object = None, query: str = "") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = RestCall(
        method_at(path), f"/api/2.0/x?{query}", envoys(request, None if body is None else content)
    )
    call.read()
    return call.request


def refusal(path: str, request: Message, body: object = None, query: str = "") -> str:
    with pytest.raises(InvalidParameter) as caught:
        read(path, request, body, query)
    return str(caught.value)


def test_only_the_names_of_envoy_are_rest_calls() -> None:
    assert method_at(CREATE).path == "/modelserving.v1.EndpointService/CreateServingEndpoint"
    for path in (
        "/modelserving.v1.EndpointService/CreateServingEndpoint",
        f"{ENDPOINTS}Nothing",
        "/modelserving.v1.NothingOverRest/CreateServingEndpoint",
        "OverRest/x",
        "",
    ):
        assert find_rest_method(path) is None


def test_a_body_completes_the_request() -> None:
    limit = {"calls": 1, "renewal_period": "minute"}
    body = {"rate_limits": [limit]}
    named = pb.PutServingEndpointRateLimitsRequest(name="chat")
    expected = pb.PutServingEndpointRateLimitsRequest(name="chat", rate_limits=[limit])  # type: ignore[list-item]
    assert read(RATES, named, body) == expected
    assert read(RATES, named, {"name": "chat", **body}) == expected
    assert read(GATEWAY, pb.PutServingEndpointAiGatewayRequest(name="chat"), body) == (
        pb.PutServingEndpointAiGatewayRequest(name="chat", ai_gateway=body)  # type: ignore[arg-type]
    )
    for nothing in (None, b"", b" ", b"{}"):
        assert read(RATES, named, nothing) == named


def test_what_the_path_says_the_body_cannot_change() -> None:
    named = pb.PutServingEndpointRateLimitsRequest(name="chat")
    message = refusal(RATES, named, {"name": "other"})
    assert (
        message == "`name` is 'chat' in the URL and 'other' in the body; leave it out of the body."
    )


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b"null"])
@pytest.mark.parametrize("path", [GET, DELETE])
def test_a_call_without_a_body_takes_an_empty_one(path: str, body: bytes) -> None:
    read(path, pb.GetServingEndpointRequest(name="chat"), body)


def test_a_call_without_a_body_takes_no_other_one() -> None:
    asked = pb.DeleteServingEndpointRequest(name="chat")
    assert refusal(DELETE, asked, {"forse": 1}) == "Unknown field `forse`; none is known here."
    with pytest.raises(MalformedRequest, match="must be an object, not a list"):
        read(DELETE, asked, [1])


def test_a_get_may_have_its_parameters_in_its_body() -> None:
    """As the mirrored service's documents print it for logs."""
    asked = pb.GetServedModelLogsRequest(name="a", served_model_name="b")
    wanted = pb.GetServedModelLogsRequest(name="a", served_model_name="b", config_version=2)
    assert read(LOGS, asked, {"config_version": 2}) == wanted
    asked = pb.GetServedModelLogsRequest(name="a", served_model_name="b")
    message = refusal(LOGS, asked, {"config_versoin": 2})
    assert message == "Unknown field `config_versoin`; did you mean `config_version`?"
    assert "leave it out of the body" in refusal(LOGS, asked, {"name": "c"})
    # Two places could say two things.
    message = refusal(LOGS, wanted, {"config_version": 3}, "config_version=2")
    assert message == (
        "`config_version` is '2' in the URL and '3' in the body; leave it out of the body."
    )


@pytest.mark.parametrize("query", ["", "&", "to_version=2", "toVersion=2"])
def test_known_parameters(query: str) -> None:
    asked = pb.CompareServingEndpointConfigVersionsRequest(name="a", from_version=1, to_version=2)
    assert read(COMPARE, asked, None, query) == asked


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("to_versoin=2", "Unknown query parameter `to_versoin`; did you mean `to_version`?"),
        ("to%5Fversion=2", "Unknown query parameter `to%5Fversion`; did you mean `to_version`?"),
        ("x=", "Unknown query parameter `x`; known here: `to_version`."),
        ("sk-secret", "text that is no parameter; write it as name=value"),
        ("=2", "Unknown query parameter ``"),
        ("to_version=2&toVersion=3", "Query parameter `toVersion` is given twice"),
        ("name=a", "Unknown query parameter `name`"),
        ("rest_body.data=e30=", "Unknown query parameter `rest_body.data`"),
    ],
)
def test_unknown_parameters(query: str, words: str) -> None:
    asked = pb.CompareServingEndpointConfigVersionsRequest(name="a", from_version=1, to_version=2)
    message = refusal(COMPARE, asked, None, query)
    assert words in message
    assert "sk-secret" not in message


@pytest.mark.parametrize("path", [CREATE, UPDATE, GATEWAY])
@pytest.mark.parametrize("name", ["name", "config", "config.name", "rate_limits"])
def test_a_call_with_a_body_takes_no_parameters(path: str, name: str) -> None:
    message = refusal(path, pb.CreateServingEndpointRequest(), {}, f"{name}=x")
    assert message == f"Unknown query parameter `{name}`; none is known here."


def test_a_list_may_be_given_in_many_parameters() -> None:
    asked = ListUsageRequest(group_by=["day", "task"])
    path = "/modelserving.v1.UsageServiceOverRest/ListUsage"
    assert read(path, asked, None, "group_by=day&group_by=task&groupBy=hour") == asked


def test_text_that_is_no_utf8() -> None:
    with pytest.raises(MalformedRequest, match="not valid UTF-8"):
        RestCall(method_at(GET), "/", b"\n\x01\xff")


def test_every_rpc_of_management_has_one_route() -> None:
    for method in METHODS:
        rule = method_at(f"/{method.containing_service.full_name}OverRest/{method.name}")
        assert rule.path == f"/{method.containing_service.full_name}/{method.name}"
        assert set(rule.bound) <= set(method.input_type.fields_by_name)
        assert not method.GetOptions().Extensions[annotations_pb2.http].additional_bindings


def test_no_request_has_a_field_of_the_bodys_number() -> None:
    for method in METHODS:
        assert max((field.number for field in method.input_type.fields), default=0) < BODY_NUMBER


def sample(method: MethodDescriptor) -> tuple[RestMethod, Message, dict[str, Any]]:
    """Return an RPC, its request as far as the path says it, and a body with every field."""
    rest = method_at(f"/{method.containing_service.full_name}OverRest/{method.name}")
    request = GetMessageClass(method.input_type)()
    body = rule_of(method)[2]
    if not body:
        return rest, request, {}
    if body != "*":
        field: Any = method.input_type.fields_by_name[body]
        return rest, request, body_of(field.message_type)
    whole = body_of(method.input_type)
    for name in rest.bound:
        del whole[name]
    return rest, request, whole


def mistyped(data: st.DataObject, name: str) -> str:
    """Return a name with one letter more, less or another."""
    place = data.draw(st.integers(0, len(name)))
    letter = data.draw(st.sampled_from(["", "x", "_", "X", name[-1:], "é"]))
    cut = data.draw(st.integers(0, 1))
    return name[:place] + letter + name[place + cut :]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@given(data=st.data())
def test_a_mistyped_name_is_refused_or_known(method: MethodDescriptor, data: st.DataObject) -> None:
    rest, request, body = sample(method)
    assert outcome(rest, request, body) == ""
    objects = [(item, path) for item, path in objects_in(body) if "any" not in item]
    item, path = data.draw(st.sampled_from(objects))
    name = data.draw(st.sampled_from(sorted(item) or ["some"]))
    other = mistyped(data, name)
    assume(other not in item)
    item[other] = item.pop(name, 1)
    refused = outcome(rest, request, body)
    if refused:
        assert f"`{path}.{other}`" in refused or f"`{other}`" in refused
    else:
        assert bare(other) == bare(name) or is_open(method, path)


def outcome(rest: RestMethod, request: Message, body: object) -> str:
    """Return what the caller is told; empty: nothing."""
    call = RestCall(rest, "", envoys(request, json.dumps(body).encode()))
    try:
        call.read()
    except ControlPlaneError as error:
        return str(error)
    return ""


def bare(name: str) -> str:
    """Return a name without what tells its spellings from each other."""
    return name.replace("_", "").lower()


def is_open(method: MethodDescriptor, path: str) -> bool:
    """Tell whether callers choose the names: of environment variables, and inside SCIM's parts."""
    scim = method.containing_service.name == "IdentityService"
    return path.endswith("environment_vars") or (scim and bool(path))
