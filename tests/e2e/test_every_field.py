"""What each field does, shown for all fields of a kind at once; `tests/protos` says which they are.

Parameters of reads change the answer, fields of answers are told, fields that are not available are
refused wherever they can be given, and so are those of hosted models beside an external one.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from tests.control_plane.test_not_available import PLACES, Place, nested, path_of
from tests.e2e.field_world import ROBOT, SCIM, World, made
from tests.e2e.rest import CHAT, ENDPOINTS, Json, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator
from tests.protos.bodies import METHODS, rule_of, value_of
from tests.protos.kinds import (
    ALWAYS_FALSE,
    HOSTED,
    READ_ELSEWHERE,
    TOLD_ELSEWHERE,
    UNTOLD,
    output_fields,
)
from tests.protos.messages import is_available, reads

Find = Callable[[World], object]
FAR = 10**15


@pytest.fixture(scope="module")
def world(running_system: System, provider: OpenAiEmulator) -> Iterator[World]:
    with made(running_system, provider) as everything:
        yield everything


@dataclass(frozen=True)
class Read:
    """How an RPC that reads is called.

    Attributes:
        others: For each of its parameters a value that must lead to another answer.
        given: Parameters without which it cannot be called.
        steady: Whether the same call has the same answer each time; else its status is compared.
    """

    others: Mapping[str, object | Find]
    given: Mapping[str, object | Find] = field(default_factory=dict)
    steady: bool = True


def of(kind: str) -> Find:
    return lambda world: world.ids[kind]


def next_page(path: str) -> Find:
    return lambda world: world.call("GET", path)["next_page_token"]


def newest_change(before: int) -> Find:
    """Find the revision of the newest change, or of one before it."""

    def find(world: World) -> str:
        newest = int(world.call("GET", "/api/2.0/changes")["revision"])
        return str(max(0, newest - before))

    return find


NAMED = Read({"name": "nothing"}, {"name": "first"})
SELECTED = {"attributes": "id", "excludedAttributes": "displayName"}
ROWS: Mapping[str, object | Find] = {
    "served_entity": "b",
    "requester": "ann@fields.test",
    "client": "claude_code",
    "status_code": "5xx",
    "state": "RUNNING",
    "min_latency_ms": FAR,
    "request_id": "no-such-query",
    "client_request_id": "no-such-query",
    "fallback_only": "true",
    "percentiles": "true",
    "provider": "cohere",
    "model": "no-such-model",
    "tag": "team=others",
    "start_time": FAR,
    "end_time": 1,
    "group_by": "day",
    "max_results": 1,
    "format": "csv",
}
OBJECT = Read(
    {"request_object_type": "jobs", "request_object_id": "nothing"},
    {"request_object_type": "serving-endpoints", "request_object_id": of("endpoint")},
)
USAGE = "/api/2.0/usage"


def listed(name: str, value: str) -> Read:
    orders = {"sortBy": "meta.created", "sortOrder": "descending"}
    return Read(
        {"filter": f'{name} eq "{value}"', "startIndex": 2, "count": 1, **SELECTED, **orders}
    )


READS: Mapping[str, Read] = {
    "ListAuditEvents": Read(
        {
            "start_time": FAR,
            "end_time": 1,
            "principal": "nobody",
            "action": "CreateUser",
            "object_type": "secret",
            "object_name": "first",
            "outcome": "REFUSED",
            "max_results": 1,
            "page_token": next_page("/api/2.0/audit-events?max_results=5&outcome=OK"),
        },
        {"max_results": 5, "outcome": "OK"},
    ),
    "ListClientSecrets": Read(
        {"service_principal_id": of("other robot")}, {"service_principal_id": of("robot")}
    ),
    "GetServingEndpoint": NAMED,
    "ListServingEndpoints": Read(
        {
            "max_results": 1,
            "page_token": next_page(f"{ENDPOINTS}?max_results=1"),
            "search": "SECON",
            "ready": "NOT_READY",
            "config_update": "UPDATE_FAILED",
            "task": "llm/v1/embeddings",
            "provider": "cohere",
            "tag": "no-such-tag",
            "creator": "nobody",
            "order_by": "name desc",
            "include_recent": "true",
        }
    ),
    "WatchChanges": Read(
        {"after_revision": newest_change(0), "timeout_seconds": 26, "names": "nothing"},
        {"after_revision": newest_change(30), "timeout_seconds": 0},
    ),
    "FindPrincipals": Read({"search": "ann@fields.test", "max_results": 1}),
    "ListFoundationModelEndpoints": Read({"product": "PT"}),
    "ListServingEndpointConfigVersions": Read(
        {
            "name": "nothing",
            "max_results": 1,
            "page_token": next_page(f"{ENDPOINTS}/first/config-versions?max_results=1"),
        },
        {"name": "first"},
    ),
    "GetServingEndpointConfigVersion": Read(
        {"name": "nothing", "config_version": 2}, {"name": "first", "config_version": 1}
    ),
    "GetServingEndpointRollout": Read(
        {"name": "nothing", "config_version": 2}, {"name": "first", "config_version": 1}
    ),
    "CompareServingEndpointConfigVersions": Read(
        {"name": "nothing", "from_version": 2, "to_version": 1},
        {"name": "first", "from_version": 1, "to_version": 2},
    ),
    "GetServingEndpointRateLimits": NAMED,
    "GetServingEndpointAiGateway": NAMED,
    "GetServingEndpointPolicies": NAMED,
    "GetServingEndpointOpenApi": NAMED,
    "GetServingEndpointMetrics": Read({"name": "nothing"}, {"name": "first"}, steady=False),
    "GetServingEndpointSeries": Read(
        {"name": "nothing", "start_time": FAR, "end_time": 1, "step_seconds": 60},
        {"name": "first", "step_seconds": 3600},
    ),
    "GetLimitUse": Read({"name": "nothing"}, {"name": "first"}, steady=False),
    "GetDeployment": Read({}),
    "ListWorkers": Read({}),
    "GetMe": Read(SELECTED),
    "GetProtos": Read({}),
    "ListUsers": listed("userName", "bob@fields.test"),
    "GetUser": Read({"id": of("bob"), **SELECTED}, {"id": of("ann")}),
    "ListServicePrincipals": listed("applicationId", ROBOT),
    "GetServicePrincipal": Read({"id": of("other robot"), **SELECTED}, {"id": of("robot")}),
    "ListGroups": listed("displayName", "team"),
    "GetGroup": Read({"id": "1", **SELECTED}, {"id": of("team")}),
    "GetPermissions": OBJECT,
    "GetPermissionLevels": OBJECT,
    "ListScopes": Read({}),
    "GetSecret": Read({"scope": "nothing", "key": "three"}, {"scope": "fields", "key": "one"}),
    "ListSecrets": Read({"scope": "other-fields"}, {"scope": "fields"}),
    "ListSecretUses": Read({"scope": "nothing", "key": "nothing"}, {"scope": "my_scope"}),
    "GetAcl": Read(
        {"scope": "other-fields", "principal": "admin"}, {"scope": "fields", "principal": "team"}
    ),
    "ListAcls": Read({"scope": "other-fields"}, {"scope": "fields"}),
    "ListTokens": Read({}),
    "ListSessions": Read({}),
    "ListManagedTokens": Read(
        {"created_by_id": of("ann"), "created_by_username": "ann@fields.test"}
    ),
    "GetManagedToken": Read({"token_id": "admin"}, {"token_id": of("token")}),
    "ListUsage": Read(
        {**ROWS, "endpoint": "second", "page_token": next_page(f"{USAGE}?max_results=1")}
    ),
    "ListServingEndpointUsage": Read(
        {
            **ROWS,
            "name": "second",
            "page_token": next_page(f"{ENDPOINTS}/first/usage?max_results=1"),
        },
        {"name": "first"},
    ),
    "GetPrices": Read({}),
    "ListServedEntities": Read({"endpoint": "second", "page_token": "nothing", "format": "csv"}),
}


def reads_here() -> list[MethodDescriptor]:
    """Return the reads but those of a deployment that hosts models."""
    return [method for method in reads() if method.name not in READ_ELSEWHERE]


def url(method: MethodDescriptor, parameters: Mapping[str, object]) -> str:
    rest = dict(parameters)
    path = re.sub(r"{(\w+)}", lambda match: str(rest.pop(match[1])), rule_of(method)[1])
    return f"{path}?{urlencode(rest)}"


@pytest.mark.parametrize("method", reads_here(), ids=lambda method: method.name)
def test_each_parameter_of_a_read_changes_its_answer(
    world: World, method: MethodDescriptor
) -> None:
    read = READS[method.name]
    scim = method.containing_service.name == "IdentityService"
    names = {
        (one.json_name if scim else one.name)
        for one in method.input_type.fields
        if is_available(one)
    }
    assert set(read.others) == names - {"page_size"}

    def answer(changes: Mapping[str, object | Find]) -> tuple[int, str]:
        found = {
            name: value(world) if callable(value) else value
            for name, value in {**read.given, **changes}.items()
        }
        told = world.send("GET", url(method, found))
        return told.status_code, told.text if read.steady else ""

    for name, other in read.others.items():
        before = answer({})
        assert before[0] == (403 if method.name == "GetSecret" else 200)
        assert answer({name: other}) != before, name
        assert answer({}) == before, name


def _is_told_of_use(world: World) -> bool:
    """Ask a model, and for what its limits have granted in this minute: it may end in between."""
    world.send("POST", "/serving-endpoints/first/invocations", CHAT)
    world.call("GET", f"{ENDPOINTS}/first/limits")
    return "LimitInUse.granted" in world.seen


def test_each_field_of_an_answer_is_told(world: World) -> None:
    world.call("POST", "/api/2.0/ui/sessions", {})
    for method in reads_here():
        if method.output_type.full_name == "google.api.HttpBody" or method.name == "GetSecret":
            continue
        given = {
            name: value(world) if callable(value) else value
            for name, value in READS[method.name].given.items()
        }
        world.call("GET", url(method, given))
    world.call("GET", "/api/2.0/audit-events?max_results=1&outcome=OK")
    world.call("GET", f"{ENDPOINTS}?max_results=1&include_recent=true")
    # Of a database that has gone on further.
    world.call("GET", f"/api/2.0/changes?after_revision={FAR}&timeout_seconds=0")
    world.call("PATCH", f"{ENDPOINTS}/second/tags", {"add_tags": [{"key": "told"}]})
    shown = world.call("GET", f"{ENDPOINTS}/first")
    assert (shown["route_optimized"], shown["state"]["system_update_failure"]) == (False, False)
    wait_for(lambda: _is_told_of_use(world))
    others = {*TOLD_ELSEWHERE, *UNTOLD, *ALWAYS_FALSE}
    assert world.seen & output_fields() == output_fields() - others


def routes_of(request_class: type[Message]) -> list[tuple[str, str, str]]:
    return [
        rule_of(method)
        for method in METHODS
        if method.input_type.full_name == request_class.DESCRIPTOR.full_name
    ]


@pytest.mark.parametrize(
    ("request_class", "place"),
    PLACES,
    ids=[f"{cls.DESCRIPTOR.name}.{path_of(place)}" for cls, place in PLACES],
)
def test_what_is_not_available_is_refused(
    world: World, request_class: type[Message], place: Place
) -> None:
    for verb, path, body in routes_of(request_class):
        target = re.sub(r"{\w+}", "1", path)
        given = nested(place, value_of(place[-1]))
        sent: Json | None = given if body == "*" else given.get(body)
        if not body:
            [(name, value)] = given.items()
            target, sent = f"{target}?{urlencode({name: value})}", None
        answer = world.send(verb, target, sent)
        message = answer.json()["message"]
        assert (answer.status_code, f"leave out `{path_of(place)}`." in message) == (400, True), (
            message
        )


@pytest.mark.parametrize("name", sorted(HOSTED))
def test_what_is_for_hosted_models_is_refused(
    world: World, provider: OpenAiEmulator, name: str
) -> None:
    message, _, field_name = name.partition(".")
    descriptor = HOSTED[name]
    body = endpoint("hosted", entity(provider))
    [served] = body["config"].pop("served_entities")
    served[field_name] = value_of(descriptor)
    if field_name.endswith("_version"):
        served[field_name] = "3"
    spelled = "served_entities" if message == "ServedEntity" else "served_models"
    body["config"][spelled] = [served]
    answer = world.send("POST", ENDPOINTS, body)
    assert answer.status_code == 400, answer.text
    # The message has the names of served entities.
    assert re.sub("^model_", "entity_", field_name) in answer.json()["message"]


def test_what_is_output_only_is_ignored_in_what_clients_send_back(world: World) -> None:
    def user(**more: object) -> Json:
        path = f"{SCIM}/Users/{world.ids['bob']}"
        return world.call(
            "PUT", path, {"userName": "bob@fields.test", "displayName": "bob", **more}
        )

    reference: Json = {"value": "1", "display": "x", "$ref": "x", "type": "x", "primary": True}
    told = user()
    sent_back = {"id": "7", "schemas": ["x"], "emails": [reference], "groups": [reference]}
    assert user(**sent_back) == told

    path = f"{SCIM}/Groups/{world.ids['team']}"
    members = [{"value": world.ids["ann"]}]
    told = world.call("PUT", path, {"displayName": "team", "members": members})
    much: Json = {"id": "7", "schemas": ["x"], "meta": {"resourceType": "x"}}
    odd_members = [reference | one for one in members]
    again = {"displayName": "team", "members": odd_members, **much}
    assert world.call("PUT", path, again) == told

    path = f"{SCIM}/ServicePrincipals/{world.ids['robot']}"
    told = world.call("PUT", path, {"displayName": "robot"})
    much = {"id": "7", "schemas": ["x"], "groups": [reference]}
    assert world.call("PUT", path, {"displayName": "robot", **much}) == told

    path = f"{ENDPOINTS}/first"
    config = world.call("GET", path)["config"]
    [first, second] = config["served_entities"]
    odd = {"state": {"deployment": "x"}, "creator": "x", "creation_timestamp": 1, "type": "x"}
    body = {"served_entities": [first | odd, second], "traffic_config": config["traffic_config"]}
    changed = world.call("PUT", f"{path}/config", body)["config"]
    assert changed["served_entities"] == config["served_entities"]


def test_what_is_ignored_changes_nothing(world: World) -> None:
    """What stands in the table of ignored fields, but for what the tests beside show."""
    path = f"{ENDPOINTS}/second/config"
    config = world.call("GET", f"{ENDPOINTS}/second")["config"]
    given = {"served_entities": config["served_entities"], "name": "another"}
    assert world.call("PUT", path, given)["name"] == "second"
    secrets = f"/api/2.0/accounts/servicePrincipals/{world.ids['robot']}/credentials/secrets"
    assert world.call("GET", f"{secrets}?page_size=1") == world.call("GET", secrets)
    group = f"{SCIM}/Groups/{world.ids['team']}"
    patch = {"Operations": [{"op": "replace", "path": "displayName", "value": "team"}]}
    told = world.call("PATCH", group, patch)
    assert world.call("PATCH", group, {"schemas": ["x"], **patch}) == told
    assert json.dumps(told)
