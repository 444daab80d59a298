"""No field that the Databricks SDK can send, on the routes that are served here, is unknown."""

import json
import re
from collections import Counter
from urllib.parse import urlencode

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.rest.call import RestCall, RestMethod
from tests.control_plane.rest.sdk_calls import SdkCall, one_by_one, sdk_calls
from tests.control_plane.rest.test_call import envoys, method_at
from tests.protos.bodies import METHODS, rule_of

# The extensions of the mirrored API, which the SDK does not have.
OWN = {
    "CancelServingEndpointUpdate",
    "CompareServingEndpointConfigVersions",
    "GetModelOptimizationInfo",
    "GetPrices",
    "PutPrices",
    "CreateSession",
    "GetDeployment",
    "ListFoundationModelEndpoints",
    "DeleteSession",
    "FindPrincipals",
    "GetProtos",
    "GetServingEndpointAiGateway",
    "GetServingEndpointConfigVersion",
    "GetServingEndpointPolicies",
    "GetServingEndpointRateLimits",
    "GetServingEndpointRollout",
    "GetServingEndpointSeries",
    "GetLimitUse",
    "ListAuditEvents",
    "ListSecretUses",
    "ListServedEntities",
    "ListServingEndpointConfigVersions",
    "ListServingEndpointUsage",
    "ListSessions",
    "ListUsage",
    "PutServingEndpointPolicies",
    "ListWorkers",
    "WatchChanges",
    "RollbackServingEndpointConfig",
    "StartServingEndpoint",
    "StopServingEndpoint",
    "ValidateServingEndpoint",
}


def matches(method: MethodDescriptor, call: SdkCall) -> bool:
    verb, path, _ = rule_of(method)
    pattern = re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(path))
    return verb == call.verb and re.fullmatch(pattern, call.path) is not None


def rest_method(method: MethodDescriptor) -> RestMethod:
    return method_at(f"/{method.containing_service.full_name}OverRest/{method.name}")


CALLS = [(call, method) for call in sdk_calls() for method in METHODS if matches(method, call)]


@pytest.mark.parametrize(("call", "method"), CALLS, ids=[call.made_by for call, _ in CALLS])
def test_each_field_is_known(call: SdkCall, method: MethodDescriptor) -> None:
    request = GetMessageClass(method.input_type)()
    for body in [None] if call.body is None else one_by_one(call.body):
        content = None if body is None else json.dumps(body).encode()
        read = RestCall(rest_method(method), "", envoys(request, content))
        read.read()
    for name, value in call.query.items():
        query = urlencode({name: value})
        RestCall(rest_method(method), f"{call.path}?{query}", envoys(request, None)).read()


def test_the_sdk_calls_every_route_but_those_that_it_does_not_have() -> None:
    called = Counter(str(method.name) for _, method in CALLS)
    assert {str(method.name) for method in METHODS} - set(called) == OWN


def test_all_its_fields_are_tried() -> None:
    [create] = [call for call, method in CALLS if method.name == "CreateServingEndpoint"]
    assert sum(1 for _ in one_by_one(create.body)) > 100
    assert {"palm_config", "telemetry_config", "guardrails"} <= set(
        re.findall(r'"(\w+)":', json.dumps(create.body))
    )


def test_a_field_that_is_not_known_would_be_found() -> None:
    [create] = [method for method in METHODS if method.name == "CreateServingEndpoint"]
    body = json.dumps({"config": {"served_entities": [{"new_in_the_sdk": 1}]}}).encode()
    request = GetMessageClass(create.input_type)()
    with pytest.raises(InvalidParameter, match="Unknown field"):
        RestCall(rest_method(create), "", envoys(request, body)).read()
