"""What an audit event says of an RPC, and what it must not say."""

import orjson
import pytest
from google.protobuf.message import Message
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1 import permission_service_pb2 as permissions_pb
from modelserving.v1 import secret_service_pb2 as secrets_pb
from modelserving.v1 import token_service_pb2 as tokens_pb

from modelplane.control_plane.audit.event import MAX_TEXT, build_event, find_method, is_change
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.audit import AuditEvent
from tests.control_plane.configs import config_input, openai_entity

ALICE = Principal("7", "alice")
MARKER = "sk-marked"


def event(rpc: str, request: Message | None, **metadata: str) -> AuditEvent:
    method = find_method(f"/modelserving.v1.{rpc}")
    assert method is not None
    sent = {name.replace("_", "-"): value for name, value in metadata.items()}
    return build_event(method, request, ALICE, sent, "request-1", 1000)


def test_a_change_of_an_endpoint() -> None:
    config = config_input(openai_entity("gpt"))
    model = config.served_entities[0].external_model
    model.openai_config.openai_api_key_plaintext = MARKER
    request = pb.CreateServingEndpointRequest(name="chat", config=config)
    found = event("EndpointService/CreateServingEndpoint", request, x_forwarded_for="10.0.0.9")
    assert (found.action, found.object_type, found.object_name) == (
        "CreateServingEndpoint",
        "serving-endpoint",
        "chat",
    )
    assert (found.principal_id, found.principal_name) == ("7", "alice")
    assert (found.source_address, found.request_id, found.time_ms) == (
        "10.0.0.9",
        "request-1",
        1000,
    )
    assert (found.outcome, found.http_status, found.error_code) == ("OK", 200, "")
    prefix = "config.served_entities[0]."
    assert found.details[f"{prefix}name"] == "gpt"
    assert found.details[f"{prefix}external_model.provider"] == "openai"
    # That there is a credential is said; what it is, is not.
    key = f"{prefix}external_model.openai_config.openai_api_key_plaintext"
    assert found.details[key] is None
    assert MARKER not in orjson.dumps(found.details).decode()


@pytest.mark.parametrize(
    ("rpc", "request_message", "kind", "name"),
    [
        (
            "SecretService/CreateScope",
            secrets_pb.CreateScopeRequest(scope="s"),
            "secret-scope",
            "s",
        ),
        (
            "SecretService/PutSecret",
            secrets_pb.PutSecretRequest(scope="s", key="k", string_value=MARKER),
            "secret",
            "s/k",
        ),
        (
            "PermissionService/SetPermissions",
            permissions_pb.SetPermissionsRequest(
                request_object_type="serving-endpoints", request_object_id="42"
            ),
            "serving-endpoint",
            "42",
        ),
        (
            "TokenService/DeleteToken",
            tokens_pb.DeleteTokenRequest(token_id="t1"),
            "access-token",
            "t1",
        ),
    ],
)
def test_objects(rpc: str, request_message: Message, kind: str, name: str) -> None:
    found = event(rpc, request_message)
    assert (found.object_type, found.object_name) == (kind, name)
    assert MARKER not in orjson.dumps(found.details).decode()


def test_texts_are_cut_and_storable() -> None:
    request = secrets_pb.CreateScopeRequest(scope="a\0" + "b" * 10_000)
    found = event("SecretService/CreateScope", request, x_forwarded_for="c" * 10_000)
    for text in (found.object_name, found.details["scope"], found.source_address):
        assert len(text) == MAX_TEXT
        assert "\0" not in text


def test_very_many_fields_are_cut() -> None:
    request = pb.CreateServingEndpointRequest(name="chat")
    for index in range(1000):
        request.tags.add(key=f"tag-{index}", value=MARKER)
    found = event("EndpointService/CreateServingEndpoint", request)
    assert len(found.details) == 201
    assert found.details["…"] is None
    assert MARKER not in orjson.dumps(found.details).decode()


def test_only_the_address_that_envoy_added_counts() -> None:
    request = secrets_pb.CreateScopeRequest(scope="s")
    found = event("SecretService/CreateScope", request, x_forwarded_for="6.6.6.6, 10.0.0.9")
    assert found.source_address == "10.0.0.9"


def test_what_is_a_change() -> None:
    changes = {
        rpc: is_change(method)
        for rpc in (
            "EndpointService/CreateServingEndpoint",
            "EndpointService/GetServingEndpoint",
            "EndpointService/DeleteServingEndpoint",
            "SecretService/PutSecret",
            "SecretService/ListScopes",
        )
        if (method := find_method(f"/modelserving.v1.{rpc}"))
    }
    assert list(changes.values()) == [True, False, True, True, False]
    assert find_method("/modelserving.v1.EndpointService/Nonsense") is None
    assert find_method("/nonsense.Service/Nonsense") is None
