"""Permissions on endpoints as the official Databricks SDK grants them, and as they then hold."""

import re
from collections.abc import Iterator, Mapping

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.serving import (
    ServingEndpointAccessControlRequest,
    ServingEndpointDetailedPermissionLevel,
    ServingEndpointPermissionLevel,
)

from tests.e2e.principals import Principals
from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

LEVELS = ServingEndpointPermissionLevel
Entry = ServingEndpointAccessControlRequest
ROBOT = "0b6a5d3e-5c1f-4c0e-9a53-2f7d8c1e4b6a"
# Enough that both workers take part, for each takes its turns.
_TRIES = 12


@pytest.fixture
def principals(system: System) -> Iterator[Principals]:
    with Principals(system) as made:
        yield made


@pytest.fixture
def workspace(system: System) -> WorkspaceClient:
    return connect(system, system.token)


@pytest.fixture
def chat_id(rest: Rest, provider: OpenAiEmulator) -> str:
    return str(rest.create(endpoint("shared", entity(provider)))["id"])


def connect(system: System, token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=system.url, token=token, auth_type="pat"))


def statuses(system: System, token: str) -> set[int]:
    """Query many times, over connections of their own, so that every worker answers."""
    found = set()
    for _ in range(_TRIES):
        with Rest(system, token) as caller:
            found.add(caller.query("shared", CHAT).status_code)
    return found


def acl(permissions: Json) -> list[tuple[str | None, list[tuple[str, bool]]]]:
    return [
        (
            entry.get("user_name")
            or entry.get("group_name")
            or entry.get("service_principal_name"),
            [(one["permission_level"], one["inherited"]) for one in entry["all_permissions"]],
        )
        for entry in permissions["access_control_list"]
    ]


def test_the_sdk_reads_sets_and_updates_permissions(
    workspace: WorkspaceClient, principals: Principals, chat_id: str
) -> None:
    principals.add_user("sdk-ann", ["sdk-team"])
    principals.add_robot(ROBOT)
    endpoints = workspace.serving_endpoints
    first = endpoints.get_permissions(chat_id)
    assert first.object_id == f"/serving-endpoints/{chat_id}"
    assert first.object_type == "serving-endpoint"
    creator, admins = first.access_control_list or []
    assert creator.user_name == "admin"
    assert (admins.group_name, admins.display_name) == ("admins", None)
    assert admins.all_permissions is not None
    assert admins.all_permissions[0].inherited is True
    assert admins.all_permissions[0].inherited_from_object == ["/serving-endpoints/"]

    given = [
        Entry(user_name="sdk-ann", permission_level=LEVELS.CAN_VIEW),
        Entry(group_name="sdk-team", permission_level=LEVELS.CAN_QUERY),
    ]
    endpoints.set_permissions(chat_id, access_control_list=given)
    added = Entry(service_principal_name=ROBOT, permission_level=LEVELS.CAN_MANAGE)
    answered = endpoints.update_permissions(chat_id, access_control_list=[added])
    assert answered.as_dict() == endpoints.get_permissions(chat_id).as_dict()
    assert acl(raw(workspace, chat_id)) == [
        ("admin", [("CAN_MANAGE", False)]),
        ("sdk-ann", [("CAN_VIEW", False)]),
        (ROBOT, [("CAN_MANAGE", False)]),
        ("admins", [("CAN_MANAGE", True)]),
        ("sdk-team", [("CAN_QUERY", False)]),
    ]
    endpoints.set_permissions(chat_id)
    assert [name for name, _ in acl(raw(workspace, chat_id))] == ["admin", "admins"]

    levels = endpoints.get_permission_levels(chat_id).permission_levels or []
    assert [level.permission_level for level in levels] == [
        LEVELS.CAN_VIEW,
        LEVELS.CAN_QUERY,
        LEVELS.CAN_MANAGE,
    ]
    assert all(level.description for level in levels)


def raw(workspace: WorkspaceClient, endpoint_id: str) -> Json:
    answer = workspace.api_client.do("GET", f"/api/2.0/permissions/serving-endpoints/{endpoint_id}")
    assert isinstance(answer, dict)
    return answer


def test_the_generic_permissions_api_is_the_same(
    workspace: WorkspaceClient, principals: Principals, chat_id: str
) -> None:
    principals.add_user("generic-ann")
    given = AccessControlRequest(
        user_name="generic-ann", permission_level=PermissionLevel.CAN_QUERY
    )
    kind = "serving-endpoints"
    for change in (workspace.permissions.set, workspace.permissions.update):
        changed = change(kind, chat_id, access_control_list=[given])
        assert changed.as_dict() == workspace.permissions.get(kind, chat_id).as_dict()
        specific = workspace.serving_endpoints.get_permissions(chat_id)
        assert changed.as_dict() == specific.as_dict()
    levels = workspace.permissions.get_permission_levels(kind, chat_id).permission_levels or []
    assert [level.permission_level for level in levels] == [
        PermissionLevel.CAN_VIEW,
        PermissionLevel.CAN_QUERY,
        PermissionLevel.CAN_MANAGE,
    ]
    with pytest.raises(InvalidParameterValue, match="only serving-endpoints have"):
        workspace.permissions.get("jobs", chat_id)


def test_a_grant_holds_on_every_worker_at_once_and_so_does_its_end(
    workspace: WorkspaceClient, system: System, principals: Principals, chat_id: str
) -> None:
    token = principals.add_user("quick-ann", ["quick-team"])
    other = principals.add_robot(ROBOT, ["quick-team"])
    endpoints = workspace.serving_endpoints
    for entries, expected in [
        ([Entry(user_name="quick-ann", permission_level=LEVELS.CAN_QUERY)], (200, 404)),
        ([Entry(user_name="quick-ann", permission_level=LEVELS.CAN_VIEW)], (403, 404)),
        ([Entry(group_name="quick-team", permission_level=LEVELS.CAN_QUERY)], (200, 200)),
        ([Entry(group_name="users", permission_level=LEVELS.CAN_VIEW)], (403, 403)),
        ([], (404, 404)),
    ]:
        endpoints.set_permissions(chat_id, access_control_list=entries)
        assert (statuses(system, token), statuses(system, other)) == (
            {expected[0]},
            {expected[1]},
        )


def test_who_leaves_a_group_loses_what_it_was_granted(
    workspace: WorkspaceClient, system: System, principals: Principals, chat_id: str
) -> None:
    token = principals.add_user("leaving-ann", ["leaving-team"])
    entry = Entry(group_name="leaving-team", permission_level=LEVELS.CAN_QUERY)
    workspace.serving_endpoints.set_permissions(chat_id, access_control_list=[entry])
    assert statuses(system, token) == {200}
    principals.leave("leaving-team")
    assert statuses(system, token) == {404}


def test_everyone_sees_their_own_level_and_lists_what_they_may_see(
    workspace: WorkspaceClient, system: System, principals: Principals, chat_id: str
) -> None:
    tokens = {level: principals.add_user(f"own-{level.value}") for level in LEVELS}
    stranger = connect(system, principals.add_user("own-nothing"))
    workspace.serving_endpoints.create("unshared")
    entries = [Entry(user_name=f"own-{level.value}", permission_level=level) for level in LEVELS]
    workspace.serving_endpoints.set_permissions(chat_id, access_control_list=entries)
    for level, token in tokens.items():
        client = connect(system, token)
        assert [listed.name for listed in client.serving_endpoints.list()] == ["shared"]
        assert client.serving_endpoints.get("shared").permission_level == level_of(level)
        if level is not LEVELS.CAN_MANAGE:
            with pytest.raises(PermissionDenied, match=f"'own-{level.value}' needs CAN_MANAGE"):
                client.serving_endpoints.get_permissions(chat_id)
    assert list(stranger.serving_endpoints.list()) == []
    with pytest.raises(ResourceDoesNotExist):
        stranger.serving_endpoints.get("shared")
    with pytest.raises(ResourceDoesNotExist, match=f"Endpoint with id '{chat_id}'"):
        stranger.serving_endpoints.get_permissions(chat_id)
    with pytest.raises(NotFound):
        stranger.serving_endpoints.query("shared", prompt="hello")
    by_name = workspace.serving_endpoints.get_permissions("shared")
    assert by_name == workspace.serving_endpoints.get_permissions(chat_id)


def level_of(level: LEVELS) -> ServingEndpointDetailedPermissionLevel:
    return ServingEndpointDetailedPermissionLevel(level.value)


@pytest.mark.parametrize(
    "path",
    ["/serving-endpoints/{}/invocations", "/serving-endpoints/{}/served-models/x/invocations"],
)
def test_nothing_tells_an_endpoint_that_one_may_not_see_from_none(
    system: System, principals: Principals, chat_id: str, path: str
) -> None:
    bodies = (b"", b"{", b"[]", b"{}", b'{"messages": 1}', b'{"stream": 7}', b"\xff", b"x" * 9000)
    del chat_id
    with Rest(system, principals.add_user("blind-ann")) as stranger:
        for body in bodies:
            answers = [
                stranger.send("POST", path.format(name), data=body) for name in ("shared", "sharev")
            ]
            hidden, missing = [
                (answer.status_code, answer.content, sorted(comparable(answer.headers)))
                for answer in answers
            ]
            assert hidden == missing
            assert hidden[0] in (400, 404)


def comparable(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name.lower() not in ("date", "x-request-id"):
            yield name.lower(), value


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([{"user_name": "nobody", "permission_level": "CAN_VIEW"}], "no user 'nobody'"),
        ([{"group_name": "nothing", "permission_level": "CAN_VIEW"}], "no group 'nothing'"),
        ([{"user_name": "admin", "permission_level": "CAN_RUN"}], "use one of CAN_VIEW"),
        ([{"user_name": "admin"}], "permission_level is ''; use one of"),
        ([{"permission_level": "CAN_VIEW"}], "exactly one of user_name"),
        (
            [{"user_name": "a", "group_name": "b", "permission_level": "CAN_VIEW"}],
            "exactly one of user_name",
        ),
        ([{"user_name": "", "permission_level": "CAN_VIEW"}], "exactly one of user_name"),
        ([{"user_name": "admin", "permission_level": "CAN_VIEW"}], "keeps CAN_MANAGE"),
        ([{"group_name": "users", "permission_level": "CAN_VIEW"}] * 2, "more than once"),
        ([{"user_name": "x", "permission_level": "CAN_VIEW"}] * 1001, "at most 1000"),
    ],
)
@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_bad_input_is_refused_and_changes_nothing(
    rest: Rest, chat_id: str, verb: str, entries: list[Json], reason: str
) -> None:
    path = f"/api/2.0/permissions/serving-endpoints/{chat_id}"
    before = rest.call("GET", path)
    answer = rest.send(verb, path, {"access_control_list": entries})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert re.search(reason, answer.json()["message"])
    assert rest.call("GET", path) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"access_control_list": 7}', b'"x"'])
def test_malformed_bodies_are_refused(rest: Rest, chat_id: str, body: bytes) -> None:
    answer = rest.send("PUT", f"/api/2.0/permissions/serving-endpoints/{chat_id}", data=body)
    assert answer.status_code == 400, answer.text


def test_objects_that_have_no_permissions_are_told_apart(rest: Rest, chat_id: str) -> None:
    for path, status in [
        (f"/api/2.0/permissions/jobs/{chat_id}", 400),
        ("/api/2.0/permissions/authorization/passwords", 400),
        ("/api/2.0/permissions/serving-endpoints/unknown", 404),
        (f"/api/2.0/permissions/serving-endpoints/{'0' * 32}", 404),
        ("/api/2.0/permissions/serving-endpoints", 404),
        (f"/api/2.0/permissions/serving-endpoints/{chat_id}/more", 404),
    ]:
        for verb in ("GET", "PUT", "PATCH"):
            answer = rest.send(verb, path, None if verb == "GET" else {})
            assert answer.status_code == status, (verb, path, answer.text)
