"""Identities and access tokens as the official Databricks SDK administers them."""

import uuid
from collections.abc import Iterator

import grpc
import pytest
from databricks.sdk import WorkspaceClient, errors
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    PermissionDenied,
    ResourceConflict,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service.iam import ComplexValue, Patch, PatchOp, PatchSchema
from databricks.sdk.service.serving import (
    ServingEndpointAccessControlRequest,
    ServingEndpointPermissionLevel,
)
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import identity_service_pb2, identity_service_pb2_grpc

from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.e2e.test_bad_input import lenient, mutations, post
from tests.emulators.openai import OpenAiEmulator

SCIM = "/api/2.0/preview/scim/v2"
OPERATIONS = [PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP]
# Enough that both workers take part, for each takes its turns.
_TRIES = 12


@pytest.fixture
def workspace(system: System) -> Iterator[WorkspaceClient]:
    """Give the administrator's client; the identities that a test made go away afterwards."""
    client = connect(system, system.token)
    yield client
    for user in client.users_v2.list():
        if user.user_name != "admin":
            client.users_v2.delete(str(user.id))
    for robot in client.service_principals_v2.list():
        client.service_principals_v2.delete(str(robot.id))
    for token in client.tokens.list():
        if token.token_id != "admin":
            client.tokens.delete(str(token.token_id))
    for group in client.groups_v2.list():
        if group.display_name not in ("admins", "users"):
            client.groups_v2.delete(str(group.id))


def connect(system: System, token: str) -> WorkspaceClient:
    return WorkspaceClient(
        config=Config(host=system.url, token=token, auth_type="pat", retry_timeout_seconds=3)
    )


def statuses(system: System, token: str, name: str) -> set[int]:
    """Query many times, over connections of their own, so that every worker answers."""
    found = set()
    for _ in range(_TRIES):
        with Rest(system, token) as caller:
            found.add(caller.query(name, CHAT).status_code)
    return found


def token_of(workspace: WorkspaceClient, name: str) -> str:
    made = workspace.token_management.create_obo_token(name, comment="of a test")
    return str(made.token_value)


def references(*ids: str | None) -> list[ComplexValue]:
    return [ComplexValue(value=item) for item in ids]


def test_me(workspace: WorkspaceClient, system: System) -> None:
    me = workspace.current_user.me()
    assert (me.user_name, me.display_name, me.active) == ("admin", "admin", True)
    assert {(group.display, group.value, group.ref) for group in me.groups or []} == {
        ("admins", "1", "Groups/1"),
        ("users", "2", "Groups/2"),
    }
    assert workspace.get_workspace_id() == 0

    robot = workspace.service_principals_v2.create(display_name="robot")
    own = connect(system, token_of(workspace, str(robot.application_id)))
    assert own.current_user.me().user_name == robot.application_id
    assert own.service_principals_v2.get(str(robot.id)) == robot


def test_life_of_a_user(workspace: WorkspaceClient, system: System) -> None:
    users = workspace.users_v2
    made = users.create(user_name="ann@example.com", display_name="Ann A.")
    assert made.id is not None
    assert made.id.isdecimal()
    assert made.active is True
    assert [(mail.value, mail.primary) for mail in made.emails or []] == [("ann@example.com", True)]
    assert [group.display for group in made.groups or []] == ["users"]
    assert users.get(made.id) == made
    assert list(users.list(filter='userName eq "ann@example.com"')) == [made]
    assert list(users.list(filter="userName eq 'ANN@example.com'")) == [made]
    assert list(users.list(filter='displayName eq "Ann A."')) == [made]
    assert list(users.list(filter=f"id eq {made.id}")) == [made]
    assert list(users.list(filter='userName eq "nobody"')) == []
    assert list(users.list(filter='userName co "NN@example"')) == [made]
    assert list(users.list(filter='displayName co "n A"')) == [made]

    users.update(made.id, user_name="ann@example.com", display_name="Ann B.", active=False)
    assert (users.get(made.id).display_name, users.get(made.id).active) == ("Ann B.", False)
    users.patch(
        made.id,
        operations=[
            Patch(op=PatchOp.REPLACE, path="active", value="true"),
            Patch(op=PatchOp.REPLACE, value={"displayName": "Ann C."}),
        ],
        schemas=OPERATIONS,
    )
    assert (users.get(made.id).display_name, users.get(made.id).active) == ("Ann C.", True)
    with pytest.raises(ResourceConflict, match=r"called 'ANN@example\.com' already"):
        users.create(user_name="ANN@example.com")

    own = connect(system, token_of(workspace, "ann@example.com"))
    assert own.current_user.me() == users.get(made.id)
    users.delete(made.id)
    with pytest.raises(Unauthenticated):
        own.current_user.me()
    with pytest.raises(NotFound, match=f"no user with the id '{made.id}'"):
        users.get(made.id)
    with pytest.raises(NotFound):
        users.delete(made.id)


def test_lists_come_in_pages(workspace: WorkspaceClient, rest: Rest) -> None:
    names = [f"page-{number}@example.com" for number in range(5)]
    for name in names:
        workspace.users_v2.create(user_name=name)
    assert [user.user_name for user in workspace.users_v2.list(count=2)] == ["admin", *names]
    page = rest.call("GET", f"{SCIM}/Users?startIndex=3&count=2&attributes=id,userName")
    assert [user["userName"] for user in page["Resources"]] == names[1:3]
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (6, 3, 2)
    assert not [user for user in page["Resources"] if user["groups"] or "displayName" in user]
    assert rest.call("GET", f"{SCIM}/Users?startIndex=7")["Resources"] == []


def test_life_of_a_service_principal(workspace: WorkspaceClient) -> None:
    robots = workspace.service_principals_v2
    made = robots.create(display_name="robot")
    assert made.id is not None
    assert str(uuid.UUID(made.application_id)) == made.application_id
    assert robots.get(made.id) == made
    assert list(robots.list(filter=f'applicationId eq "{made.application_id}"')) == [made]
    robots.update(made.id, display_name="robot 2", application_id=made.application_id)
    assert robots.get(made.id).display_name == "robot 2"
    robots.patch(
        made.id,
        operations=[Patch(op=PatchOp.REPLACE, path="displayName", value="robot 3")],
        schemas=OPERATIONS,
    )
    assert [robot.display_name for robot in robots.list()] == ["robot 3"]
    with pytest.raises(NotFound):
        workspace.users_v2.get(made.id)
    robots.delete(made.id)
    assert list(robots.list()) == []


def test_life_of_a_group(workspace: WorkspaceClient) -> None:
    groups = workspace.groups_v2
    ann = workspace.users_v2.create(user_name="ann")
    robot = workspace.service_principals_v2.create(display_name="robot")
    made = groups.create(display_name="team", members=references(ann.id, robot.id))
    group_id = str(made.id)
    assert {(one.value, one.display, one.ref) for one in made.members or []} == {
        (ann.id, "ann", f"Users/{ann.id}"),
        (robot.id, "robot", f"ServicePrincipals/{robot.id}"),
    }
    assert groups.get(group_id) == made
    assert list(groups.list(filter='displayName eq "team"')) == [made]
    joined = workspace.users_v2.get(str(ann.id)).groups or []
    assert {group.display for group in joined} == {"users", "team"}
    with pytest.raises(ResourceConflict, match="group called 'team'"):
        groups.create(display_name="team")
    with pytest.raises(BadRequest, match="groups cannot be nested"):
        groups.create(display_name="outer", members=references(group_id))
    groups.delete(group_id)
    with pytest.raises(NotFound):
        groups.get(group_id)
    joined = workspace.users_v2.get(str(ann.id)).groups or []
    assert {group.display for group in joined} == {"users"}


def test_members_of_a_group(workspace: WorkspaceClient) -> None:
    groups = workspace.groups_v2
    ann = workspace.users_v2.create(user_name="ann")
    bob = workspace.users_v2.create(user_name="bob")
    robot = workspace.service_principals_v2.create(display_name="robot")
    group_id = str(groups.create(display_name="team", members=references(ann.id, robot.id)).id)

    def members() -> set[str | None]:
        return {member.value for member in groups.get(group_id).members or []}

    def patch(*operations: Patch) -> None:
        groups.patch(group_id, operations=list(operations), schemas=OPERATIONS)

    patch(Patch(op=PatchOp.ADD, path="members", value=[{"value": bob.id}]))
    assert members() == {ann.id, bob.id, robot.id}
    patch(Patch(op=PatchOp.REMOVE, path=f'members[value eq "{ann.id}"]'))
    assert members() == {bob.id, robot.id}
    patch(Patch(op=PatchOp.REMOVE, path="members", value=[{"value": bob.id}]))
    patch(Patch(op=PatchOp.ADD, value={"members": [{"value": ann.id}]}))
    assert members() == {ann.id, robot.id}
    patch(
        Patch(op=PatchOp.REPLACE, path="displayName", value="crew"),
        Patch(op=PatchOp.REPLACE, path="members", value=[{"value": bob.id}]),
    )
    assert (groups.get(group_id).display_name, members()) == ("crew", {bob.id})
    groups.update(group_id, display_name="band", members=references(ann.id))
    assert (groups.get(group_id).display_name, members()) == ("band", {ann.id})
    workspace.users_v2.delete(str(ann.id))
    assert members() == set()
    with pytest.raises(BadRequest, match="no user or service principal"):
        patch(Patch(op=PatchOp.ADD, path="members", value=[{"value": "999"}]))


def test_the_deployment_always_has_its_administrator(workspace: WorkspaceClient) -> None:
    admin = str(workspace.current_user.me().id)
    with pytest.raises(BadRequest, match="MODELPLANE_ADMIN_USER"):
        workspace.users_v2.delete(admin)
    with pytest.raises(BadRequest, match="cannot be deactivated"):
        workspace.users_v2.update(admin, active=False)
    with pytest.raises(BadRequest, match="must stay in the group 'admins'"):
        workspace.groups_v2.update("1", display_name="admins")
    for built_in in ("1", "2"):
        with pytest.raises(BadRequest, match="built in"):
            workspace.groups_v2.delete(built_in)
    assert workspace.current_user.me().active


def test_an_administrator_by_group(workspace: WorkspaceClient, system: System) -> None:
    robot = workspace.service_principals_v2.create(display_name="robot")
    client = connect(system, token_of(workspace, str(robot.application_id)))
    with pytest.raises(PermissionDenied, match="no administrator"):
        list(client.users_v2.list())
    with pytest.raises(PermissionDenied, match="no administrator"):
        client.groups_v2.create(display_name="mine")
    with pytest.raises(PermissionDenied, match="no administrator"):
        client.users_v2.get(str(workspace.current_user.me().id))
    with pytest.raises(PermissionDenied, match="no administrator"):
        list(client.token_management.list())
    joining = Patch(op=PatchOp.ADD, path="members", value=[{"value": robot.id}])
    workspace.groups_v2.patch("1", operations=[joining], schemas=OPERATIONS)
    assert [user.user_name for user in client.users_v2.list()] == ["admin"]
    leaving = Patch(op=PatchOp.REMOVE, path=f'members[value eq "{robot.id}"]')
    workspace.groups_v2.patch("1", operations=[leaving], schemas=OPERATIONS)
    with pytest.raises(PermissionDenied, match="no administrator"):
        list(client.users_v2.list())


def test_own_tokens(workspace: WorkspaceClient, system: System) -> None:
    robot = workspace.service_principals_v2.create(display_name="robot")
    client = connect(system, token_of(workspace, str(robot.application_id)))
    made = client.tokens.create(comment="second", lifetime_seconds=3600)
    value, info = str(made.token_value), made.token_info
    assert value.startswith("dapi")
    assert info is not None
    assert int(info.expiry_time or 0) - int(info.creation_time or 0) == 3_600_000
    assert connect(system, value).current_user.me().display_name == "robot"
    first, second = client.tokens.list()
    assert (first.comment, first.expiry_time) == ("of a test", -1)
    assert second == info
    client.tokens.delete(str(info.token_id))
    with pytest.raises(Unauthenticated):
        connect(system, value).current_user.me()
    with pytest.raises(ResourceDoesNotExist):
        client.tokens.delete(str(info.token_id))
    # One does not even learn of the tokens of others.
    (admins,) = [item for item in workspace.tokens.list() if item.token_id == "admin"]
    with pytest.raises(ResourceDoesNotExist):
        client.tokens.delete(str(admins.token_id))
    with pytest.raises(BadRequest, match="lifetime_seconds is 0"):
        client.tokens.create(lifetime_seconds=0)
    with pytest.raises(errors.NotImplemented, match="no scopes"):
        client.tokens.create(scopes=["serving"])


def test_management_of_tokens(workspace: WorkspaceClient, system: System) -> None:
    management = workspace.token_management
    robot = workspace.service_principals_v2.create(display_name="robot")
    made = management.create_obo_token(str(robot.application_id), lifetime_seconds=60)
    info = made.token_info
    assert info is not None
    assert (info.owner_id, info.created_by_id) == (int(str(robot.id)), int(str(robot.id)))
    assert info.created_by_username == robot.application_id
    assert management.get(str(info.token_id)).token_info == info
    assert list(management.list(created_by_id=int(str(robot.id)))) == [info]
    assert list(management.list(created_by_username=robot.application_id)) == [info]
    assert "admin" in [token.token_id for token in management.list()]
    assert str(made.token_value) not in str([token.as_dict() for token in management.list()])
    management.delete(str(info.token_id))
    with pytest.raises(Unauthenticated):
        connect(system, str(made.token_value)).current_user.me()
    with pytest.raises(ResourceDoesNotExist):
        management.get(str(info.token_id))
    for delete in (management.delete, workspace.tokens.delete):
        with pytest.raises(BadRequest, match="MODELPLANE_ADMIN_TOKEN"):
            delete("admin")
    with pytest.raises(ResourceDoesNotExist, match="no service principal"):
        management.create_obo_token("nobody")


def test_every_change_holds_on_every_worker_at_once(
    workspace: WorkspaceClient, system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    endpoint_id = rest.create(endpoint("for-the-team", entity(provider)))["id"]
    robot = workspace.service_principals_v2.create(display_name="robot")
    group = workspace.groups_v2.create(display_name="team")
    workspace.serving_endpoints.set_permissions(
        endpoint_id,
        access_control_list=[
            ServingEndpointAccessControlRequest(
                group_name="team", permission_level=ServingEndpointPermissionLevel.CAN_QUERY
            )
        ],
    )
    robots, groups = workspace.service_principals_v2, workspace.groups_v2
    made = workspace.token_management.create_obo_token(str(robot.application_id))
    token, robot_id, group_id = str(made.token_value), str(robot.id), str(group.id)
    assert statuses(system, token, "for-the-team") == {404}
    groups.update(group_id, display_name="team", members=references(robot_id))
    assert statuses(system, token, "for-the-team") == {200}
    groups.update(group_id, display_name="crew", members=references(robot_id))
    assert statuses(system, token, "for-the-team") == {200}
    robots.update(robot_id, active=False)
    assert statuses(system, token, "for-the-team") == {401}
    robots.update(robot_id, active=True)
    assert statuses(system, token, "for-the-team") == {200}
    groups.delete(group_id)
    assert statuses(system, token, "for-the-team") == {404}
    assert made.token_info is not None
    workspace.token_management.delete(str(made.token_info.token_id))
    assert statuses(system, token, "for-the-team") == {401}
    token = token_of(workspace, str(robot.application_id))
    assert statuses(system, token, "for-the-team") == {404}
    robots.delete(robot_id)
    assert statuses(system, token, "for-the-team") == {401}


BAD = [
    ("POST", "/Users", {}, 400, "userName is missing"),
    ("POST", "/Users", {"userName": " x"}, 400, "no space at either end"),
    ("POST", "/Users", {"userName": "a\u0000b"}, 400, "control character"),
    ("POST", "/Users", {"userName": "x" * 257}, 400, "at most 256"),
    ("POST", "/Users", {"userName": 7.5, "active": "maybe"}, 400, "userName must be a"),
    ("POST", "/Users", {"userName": "admin"}, 409, "already"),
    ("POST", "/Groups", {"displayName": ""}, 400, "displayName is missing"),
    ("POST", "/Groups", {"displayName": "USERS"}, 409, "already"),
    ("POST", "/Groups", {"displayName": "g", "members": [{"display": "x"}]}, 400, "members must"),
    ("POST", "/Groups", {"displayName": "g", "members": [{"value": "\u0000"}]}, 400, "no user or"),
    ("POST", "/ServicePrincipals", {"applicationId": "x"}, 400, "must be a UUID"),
    ("GET", "/Users?filter=userName+sw+%22a%22", None, 400, "is not supported"),
    ("GET", "/Users?filter=nonsense", None, 400, "is not supported"),
    ("GET", "/Users?count=x", None, 400, "does not fit"),
    ("GET", "/Users?sortBy=displayName", None, 400, "ordered by userName"),
    ("GET", "/Groups?sortOrder=descending", None, 400, "results ascend"),
    ("POST", "/Users", {"userName": "a", "activ": False}, 400, "did you mean `active`?"),
    ("GET", "/Users/7", None, 404, "no user with the id '7'"),
    ("GET", "/Nothing", None, 404, "No API found"),
    ("PATCH", "/Groups/2", {"Operations": []}, 400, "at least one operation"),
    ("PATCH", "/Groups/2", {"Operations": [{"op": "copy"}]}, 400, "op 'copy' is not known"),
    ("PATCH", "/Groups/2", {"Operations": [{"op": "add", "path": "x"}]}, 400, "attribute 'x'"),
    ("PATCH", "/Groups/2", {"Operations": [{"op": "remove"}]}, 400, "needs a path"),
    ("PATCH", "/Groups/2", {"Operations": [{"op": "remove", "path": "members"}]}, 400, "Everyone"),
    ("PUT", "/Groups/2", {"displayName": "all"}, 400, "keeps its name"),
]


@pytest.mark.parametrize(("verb", "path", "body", "status", "reason"), BAD)
def test_bad_input_gets_an_error_of_scim(
    rest: Rest, verb: str, path: str, body: object, status: int, reason: str
) -> None:
    answer = rest.send(verb, f"{SCIM}{path}", body)
    error = answer.json()
    assert (answer.status_code, error["status"]) == (status, str(status)), answer.text
    assert error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert reason in error["detail"]
    assert error["message"] == error["detail"]
    assert ("scimType" in error) is (status in (400, 409))


MUTABLE = [
    (b"POST", f"{SCIM}/Users", {"userName": "m", "name": {"givenName": "m"}, "active": True}),
    (b"POST", f"{SCIM}/ServicePrincipals", {"displayName": "m", "groups": [{"value": "2"}]}),
    (b"POST", f"{SCIM}/Groups", {"displayName": "m", "members": [{"value": "7"}]}),
    (b"PUT", f"{SCIM}/Groups/1", {"displayName": "admins", "members": [{"value": "7"}]}),
    (
        b"PATCH",
        f"{SCIM}/Groups/2",
        {"Operations": [{"op": "add", "path": "members", "value": [{"value": "7"}]}]},
    ),
    (
        b"PATCH",
        f"{SCIM}/Users/7",
        {"Operations": [{"op": "replace", "value": {"active": True, "displayName": "m"}}]},
    ),
    (b"POST", "/api/2.0/token/create", {"comment": "m", "lifetime_seconds": 1, "scopes": ["m"]}),
    (b"POST", "/api/2.0/token/delete", {"token_id": "m"}),
    (b"POST", "/api/2.0/token-management/on-behalf-of/tokens", {"application_id": "m"}),
]


@pytest.mark.parametrize(("verb", "path", "body"), MUTABLE)
@lenient
@given(data=st.data())
def test_mutated_bodies(
    workspace: WorkspaceClient,
    system: System,
    data: st.DataObject,
    verb: bytes,
    path: str,
    body: Json,
) -> None:
    answer = post(system, verb, path, data.draw(mutations(body)))
    if answer.status == 200 and "id" in (made := answer.json()) and verb == b"POST":
        workspace.api_client.do("DELETE", f"{path}/{made['id']}")


async def test_over_grpc(system: System) -> None:
    async with grpc.aio.insecure_channel(system.target) as channel:
        stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        metadata = (("authorization", f"Bearer {system.token}"),)
        me = await stub.GetMe(identity_service_pb2.GetMeRequest(), metadata=metadata)
        assert me.user_name == "admin"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetMe(identity_service_pb2.GetMeRequest())
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
