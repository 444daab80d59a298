"""What the reader takes and refuses; protobuf's own reader of JSON is the measure."""

import json
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import secret_service_pb2 as secrets_pb
from modelserving.v1 import token_service_pb2 as tokens_pb
from modelserving.v1.audit_service_pb2 import AuditEvent, ListAuditEventsRequest
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest
from modelserving.v1.identity_pb2 import Patch, User

from modelplane.control_plane.errors import ControlPlaneError, InvalidParameter, MalformedRequest
from modelplane.control_plane.identity.scim import may_ignore
from modelplane.control_plane.rest.json_document import parse_document
from modelplane.control_plane.rest.json_reader import JsonReader
from tests.protos.bodies import REQUESTS, body_of

STRICT = JsonReader()
SCIM = JsonReader(may_ignore, json_names=True)


def read(body: object, message: Any, reader: JsonReader = STRICT) -> Any:
    reader.read(parse_document(json.dumps(body).encode()), message)
    return message


def refusal(body: object | bytes, message: Message, reader: JsonReader = STRICT) -> str:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ControlPlaneError) as caught:
        reader.read(parse_document(content), message)
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("request_class", REQUESTS, ids=lambda cls: cls.DESCRIPTOR.name)
@pytest.mark.parametrize("camel", [False, True], ids=["snake", "camel"])
def test_every_field_of_every_request_is_read(request_class: type[Message], *, camel: bool) -> None:
    body = body_of(request_class.DESCRIPTOR, camel=camel)
    expected = json_format.ParseDict(body, request_class())
    assert read(body, request_class()) == expected
    again = read(json_format.MessageToDict(expected), request_class())
    assert again == expected


CREATE = CreateServingEndpointRequest


RETRIES = "ai_gateway.retry_config.max_retries"


def retries(value: object) -> dict[str, Any]:
    return {"ai_gateway": {"retry_config": {"max_retries": value}}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"confg": {}}, "InvalidParameter: Unknown field `confg`; did you mean `config`?"),
        (
            {"config": {"served_entities": [{"name": "a"}, {"external_modle": {}}]}},
            "`config.served_entities[1].external_modle`; did you mean `external_model`?",
        ),
        ({"ai_gateway": {"rate_limit": []}}, "`ai_gateway.rate_limit`; did you mean `rate_limits`"),
        ({"servedEntities": []}, "Unknown field `servedEntities`; known here: `ai_gateway`, "),
        (
            {"config": {"config": {}}},
            "Unknown field `config.config`; known here: `auto_capture_con",
        ),
        ({"Name": "x"}, "Unknown field `Name`; did you mean `name`?"),
        ({"": 1}, "Unknown field ``; known here"),
        ({"\ud800": 1}, r"Unknown field `\ud800`; known here"),
        ({"x" * 5000: 1}, "x…`; known here"),
        (b'{"name": "a", "name": "a"}', "`name` is given twice"),
        (
            b'{"route_optimized": false, "routeOptimized": false}',
            "`route_optimized` is given twice",
        ),
        (b'{"config": {"x": 1}, "config": {}}', "Unknown field `config.x`"),
        (
            {"config": {"served_entities": [{"environment_vars": {"a": 1}}]}},
            "config.served_entities[0].environment_vars.a must be a string, not a number",
        ),
        (
            b'{"config": {"served_entities": [{"environment_vars": {"a": "1", "a": "2"}}]}}',
            "environment_vars.a` is given twice",
        ),
        (
            {
                "config": {
                    "served_entities": [
                        {"external_model": {"openai_config": {}, "cohereConfig": {}}}
                    ]
                }
            },
            "external_model.cohere_config` and `openai_config` exclude each other",
        ),
        ([], "MalformedRequest: The request body must be an object, not a list."),
        ("x", "must be an object, not a string"),
        ({"name": 3}, "MalformedRequest: name must be a string, not a number."),
        ({"name": {}}, "name must be a string, not an object"),
        ({"name": "\ud800"}, "name holds half a surrogate pair"),
        ({"route_optimized": 1}, "route_optimized must be true or false, not a number"),
        ({"route_optimized": "yes"}, "route_optimized must be true or false, not a string"),
        ({"config": 1}, "config must be an object, not a number"),
        ({"config": {"served_entities": {}}}, "config.served_entities must be a list, not an obj"),
        ({"tags": [None]}, "tags[0] must be an object, not null"),
        (retries("x"), f"{RETRIES} must be an integer, not a string"),
        (retries(1.5), f"{RETRIES} must be an integer, not a number"),
        (retries(True), f"{RETRIES} must be an integer, not a boolean"),  # noqa: FBT003 - a value
        (
            retries(2**31),
            f"InvalidParameter: {RETRIES} is out of range; it must be from -2147483648",
        ),
        ({"rate_limits": [{"calls": "x"}]}, "rate_limits[0].calls must be a number, not a string"),
        ({"config": {"served_entities": [{"entity_version": "\udfff"}]}}, "half a surrogate"),
    ],
)
def test_refusals_name_the_field_and_what_to_change(body: object, words: str) -> None:
    assert words in refusal(body, CREATE())


def test_what_may_be_a_secret_is_not_shown() -> None:
    message = refusal({"string_value": ["sk-secret"]}, secrets_pb.PutSecretRequest())
    assert "sk-secret" not in message


@pytest.mark.parametrize("value", ["/-", "_+8=", "aGk", "aGk="])
def test_bytes_are_taken_in_both_alphabets(value: str) -> None:
    expected = secrets_pb.PutSecretRequest()
    json_format.ParseDict({"bytes_value": value.replace("-", "+").replace("_", "/")}, expected)
    assert read({"bytes_value": value}, secrets_pb.PutSecretRequest()) == expected


@pytest.mark.parametrize("value", ["a", "ä", "a b=", "=aGk"])
def test_what_is_no_base64_is_refused(value: str) -> None:
    assert "must be base64" in refusal({"bytes_value": value}, secrets_pb.PutSecretRequest())


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
def test_numbers_are_taken_where_protobuf_takes_them(value: object) -> None:
    """Text that only Python takes for a number, such as `1_0`, is not taken."""
    for message_class, name in (
        (tokens_pb.CreateTokenRequest, "lifetime_seconds"),
        (ListAuditEventsRequest, "max_results"),
        (ListAuditEventsRequest, "start_time"),
    ):
        try:
            taken: Message | None = read({name: value}, message_class())
        except (InvalidParameter, MalformedRequest):
            taken = None
        if taken is not None:
            assert taken == json_format.ParseDict({name: value}, message_class())
        else:
            assert not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31


@pytest.mark.parametrize("value", ["90", 90, 90.0, "9e1", "-1"])
def test_numbers_may_be_text(value: object) -> None:
    assert read({"start_time": value}, ListAuditEventsRequest()).start_time == float(str(value))


@pytest.mark.parametrize("value", [1e999, "1e999", 10**400])
def test_numbers_out_of_range_are_refused(value: object) -> None:
    body = b'{"start_time": %s}' % json.dumps(value).replace("Infinity", "1e999").encode()
    assert "out of range" in refusal(body, ListAuditEventsRequest())


def test_null_means_not_given_and_is_kept_where_any_value_is() -> None:
    body = {"name": None, "config": None, "tags": None, "route_optimized": None}
    assert read(body, CREATE()) == CREATE()
    assert read({"Operations": [{"value": None}]}, Patch(), SCIM).operations[0].HasField("value")
    one_model: dict[str, Any] = {"openai_config": None, "cohere_config": {}}
    entity = {"config": {"served_entities": [{"external_model": one_model}]}}
    model = read(entity, CREATE()).config.served_entities[0].external_model
    assert model.WhichOneof("provider_config") == "cohere_config"


OPEN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(OPEN, st.dictionaries(st.text(), OPEN, max_size=3))
def test_open_fields_take_any_json(value: Any, details: dict[str, Any]) -> None:
    body = {"operations": [{"value": value}]}
    assert read(body, Patch()) == json_format.ParseDict(body, Patch())
    event = read({"details": details}, AuditEvent())
    assert event == json_format.ParseDict({"details": details}, AuditEvent())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"operations": [{"value": ' + b"[" * 70 + b"]" * 70 + b"}]}", "nested too deeply"),
        (b'{"operations": [{"value": {"a": 1, "a": 2}}]}', "operations[0].value.a` is given twice"),
        (b'{"operations": [{"value": {"\\ud800": 1}}]}', "half a surrogate"),
        (b'{"operations": [{"value": ["\\ud800"]}]}', "operations[0].value[0] holds half"),
        (b'{"operations": [{"value": 1e999}]}', "out of range"),
    ],
)
def test_open_fields_have_bounds(body: bytes, words: str) -> None:
    assert words in refusal(body, Patch())
    assert refusal([], struct_pb2.Struct()).startswith("MalformedRequest")


def test_scim_has_its_own_names() -> None:
    user = read({"USERNAME": "a", "Active": False, "name": {"x": 1}}, User(), SCIM)
    assert (user.user_name, user.active) == ("a", False)
    sent_by_directories = {
        "entitlements": [{"value": "x"}],
        "externalId": "7",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {}},
        "emails": [{"value": "a@example.com", "kind": "work"}],
    }
    assert [item.value for item in read(sent_by_directories, User(), SCIM).emails] == [
        "a@example.com"
    ]
    assert "Unknown field `activ`; did you mean `active`?" in refusal({"activ": 1}, User(), SCIM)
    assert "did you mean `Operations`?" in refusal({"Operation": []}, Patch(), SCIM)
    assert "userName must be a string" in refusal({"userName": 1}, User(), SCIM)
