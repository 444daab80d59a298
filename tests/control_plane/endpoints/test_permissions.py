from typing import Any

import pytest
from modelserving.v1 import permission_service_pb2 as pb

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.permission_servicer import PermissionServicer
from modelplane.control_plane.endpoints.permissions import (
    MAX_GRANTS,
    EndpointPermissions,
    GrantInput,
    Permissions,
)
from modelplane.control_plane.errors import InvalidParameter, NotFound, PermissionDenied
from modelplane.control_plane.principal import (
    ADMINS_ID,
    USERS_ID,
    Level,
    Principal,
    PrincipalKind,
    current_principal,
)
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.identity.grantees import GranteeKind
from modelplane.control_plane.store.tables import GroupRow, PrincipalRow
from tests.control_plane.conftest import share
from tests.control_plane.endpoints.test_lifecycle import with_model
from tests.control_plane.rollouts import FakeRollout

ROOT = Principal("root-id", "root", admin=True)
ALICE = Principal("alice-id", "alice")
BOB = Principal("bob-id", "bob")
CAROL = Principal("carol-id", "carol")
ENDPOINT = "e" * 32
VIEW, QUERY, MANAGE = Level.CAN_VIEW, Level.CAN_QUERY, Level.CAN_MANAGE
NONE = Level.NONE


def user(name: str, level: Level) -> GrantInput:
    return GrantInput(GranteeKind.USER, name, level)


def group(name: str, level: Level) -> GrantInput:
    return GrantInput(GranteeKind.GROUP, name, level)


def robot(name: str, level: Level) -> GrantInput:
    return GrantInput(GranteeKind.SERVICE_PRINCIPAL, name, level)


def names(permissions: Permissions) -> list[tuple[str, str, Level, Level]]:
    return [
        (item.grantee.kind, item.grantee.name, item.granted, item.inherited)
        for item in permissions.access
    ]


ALICE_MANAGES = ("user", "alice", MANAGE, NONE)
ADMINS_MANAGE = ("group", "admins", NONE, MANAGE)


@pytest.fixture
def permissions(database: Database, rollout: FakeRollout) -> EndpointPermissions:
    return EndpointPermissions(database, rollout)


@pytest.fixture(autouse=True)
async def chat(database: Database, endpoints: Endpoints) -> None:
    endpoints._new_id = lambda: ENDPOINT
    async with database.write() as transaction:
        for principal in (ROOT, ALICE, BOB, CAROL):
            transaction.session.add(
                PrincipalRow(
                    id=principal.id, kind=PrincipalKind.USER, name=principal.name, created_ms=0
                )
            )
        transaction.session.add(
            PrincipalRow(
                id="robot-id",
                kind=PrincipalKind.SERVICE_PRINCIPAL,
                name="robot-app",
                display_name="Robot",
                created_ms=0,
            )
        )
        for group_id, name in ((ADMINS_ID, "admins"), (USERS_ID, "users"), ("team-id", "alice")):
            transaction.session.add(GroupRow(id=group_id, name=name, created_ms=0))
    await endpoints.create(ALICE, with_model())


async def grants(database: Database) -> dict[str, Level]:
    async with database.read() as session:
        record = await records.find_by_id(session, ENDPOINT)
    assert record is not None
    return dict(record.grants)


async def test_at_first_the_creator_and_the_administrators_manage(
    permissions: EndpointPermissions,
) -> None:
    for principal in (ALICE, ROOT):
        access = await permissions.get(principal, ENDPOINT)
        assert names(access) == [ALICE_MANAGES, ADMINS_MANAGE]


async def test_an_endpoint_is_known_by_its_name_too(permissions: EndpointPermissions) -> None:
    merged = await permissions.merge(ALICE, "chat", [user("bob", QUERY)])
    assert merged == await permissions.get(ALICE, ENDPOINT)
    assert merged.endpoint_id == ENDPOINT
    with pytest.raises(NotFound, match="id 'other'"):
        await permissions.get(ALICE, "other")


async def test_what_is_called_like_an_identifier_is_not_taken_for_what_had_it(
    permissions: EndpointPermissions, endpoints: Endpoints
) -> None:
    endpoints._new_id = lambda: "f" * 32
    await endpoints.create(ALICE, with_model("d" * 32))
    with pytest.raises(NotFound):
        await permissions.get(ALICE, "d" * 32)


async def test_granting_adds_and_replaces_by_grantee(
    permissions: EndpointPermissions, database: Database, rollout: FakeRollout
) -> None:
    access = await permissions.merge(
        ALICE, ENDPOINT, [group("users", VIEW), robot("robot-app", QUERY), user("bob", QUERY)]
    )
    assert names(access) == [
        ALICE_MANAGES,
        ("user", "bob", QUERY, NONE),
        ("service_principal", "robot-app", QUERY, NONE),
        ADMINS_MANAGE,
        ("group", "users", VIEW, NONE),
    ]
    assert access == await permissions.get(ALICE, ENDPOINT)
    assert len(rollout.applied) == 1

    await permissions.merge(ALICE, ENDPOINT, [user("bob", VIEW), group("alice", QUERY)])
    assert await grants(database) == {
        "alice-id": MANAGE,
        "bob-id": VIEW,
        "robot-id": QUERY,
        USERS_ID: VIEW,
        "team-id": QUERY,
    }


async def test_replacing_leaves_the_creator_and_what_is_inherited(
    permissions: EndpointPermissions, database: Database
) -> None:
    await permissions.merge(ALICE, ENDPOINT, [user("bob", MANAGE), group("users", VIEW)])
    access = await permissions.replace(BOB, ENDPOINT, [user("bob", MANAGE)])
    assert names(access) == [ALICE_MANAGES, ("user", "bob", MANAGE, NONE), ADMINS_MANAGE]
    access = await permissions.replace(ALICE, ENDPOINT, [])
    assert names(access) == [ALICE_MANAGES, ADMINS_MANAGE]
    assert await grants(database) == {"alice-id": MANAGE}


async def test_each_change_is_one_revision_that_is_waited_for(
    permissions: EndpointPermissions, rollout: FakeRollout
) -> None:
    await permissions.merge(ALICE, ENDPOINT, [user("bob", QUERY)])
    await permissions.replace(ALICE, ENDPOINT, [])
    first, second = rollout.applied
    assert second == first + 1


async def test_a_grant_to_the_administrators_stands_beside_what_they_inherit(
    permissions: EndpointPermissions,
) -> None:
    access = await permissions.replace(ALICE, ENDPOINT, [group("admins", VIEW)])
    assert names(access) == [ALICE_MANAGES, ("group", "admins", VIEW, MANAGE)]


async def test_only_those_who_manage_read_and_change_permissions(
    permissions: EndpointPermissions,
) -> None:
    await permissions.merge(ALICE, ENDPOINT, [user("bob", QUERY)])
    for call in (
        permissions.get(BOB, ENDPOINT),
        permissions.merge(BOB, ENDPOINT, []),
        permissions.replace(BOB, ENDPOINT, [user("bob", MANAGE)]),
    ):
        with pytest.raises(PermissionDenied, match="'bob' needs CAN_MANAGE on endpoint 'chat'"):
            await call
    await permissions.check_visible(BOB, ENDPOINT)
    with pytest.raises(NotFound):
        await permissions.check_visible(CAROL, ENDPOINT)


@pytest.mark.parametrize("endpoint_id", ["0" * 32, "chat", "", "\0", "é" * 4000])
async def test_what_one_may_not_see_reads_like_what_does_not_exist(
    permissions: EndpointPermissions, endpoint_id: str
) -> None:
    for call in (
        permissions.get(CAROL, endpoint_id),
        permissions.merge(CAROL, endpoint_id, [user("nobody", VIEW)]),
        permissions.replace(CAROL, endpoint_id, []),
    ):
        with pytest.raises(NotFound) as missing:
            await call
        assert str(missing.value) == f"Endpoint with id '{endpoint_id[:100]}' does not exist."
    with pytest.raises(NotFound) as invisible:
        await permissions.get(CAROL, ENDPOINT)
    assert str(invisible.value) == f"Endpoint with id '{ENDPOINT}' does not exist."


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([user("bob", VIEW), user("dora", VIEW)], "There is no user 'dora';"),
        ([group("bob", VIEW)], "There is no group 'bob';"),
        ([user("robot-app", VIEW)], "There is no user 'robot-app';"),
        ([robot("bob", VIEW)], "There is no service principal 'bob';"),
        ([user("b\0b", VIEW)], "There is no user 'b\0b';"),
        ([user(f"u{n}", VIEW) for n in range(7)], "user 'u4', and 2 more;"),
        ([user("bob", VIEW), user("bob", VIEW)], "Named more than once: user 'bob';"),
        ([user("alice", QUERY)], "'alice' has created the endpoint and keeps CAN_MANAGE"),
        ([user(f"u{n}", VIEW) for n in range(MAX_GRANTS + 1)], "would have 1001 entries"),
    ],
)
async def test_what_is_refused_changes_nothing(
    permissions: EndpointPermissions, database: Database, given: list[GrantInput], reason: str
) -> None:
    for change in (permissions.merge, permissions.replace):
        with pytest.raises(InvalidParameter, match=reason):
            await change(ALICE, ENDPOINT, given)
    assert await grants(database) == {"alice-id": MANAGE}


async def test_nobody_shuts_themselves_out(
    permissions: EndpointPermissions, database: Database
) -> None:
    await permissions.merge(ALICE, ENDPOINT, [user("bob", MANAGE)])
    for call in (
        permissions.replace(BOB, ENDPOINT, [user("carol", MANAGE)]),
        permissions.merge(BOB, ENDPOINT, [user("bob", QUERY)]),
    ):
        with pytest.raises(InvalidParameter, match="'bob', would no longer manage"):
            await call
    assert await grants(database) == {"alice-id": MANAGE, "bob-id": MANAGE}
    await permissions.replace(ROOT, ENDPOINT, [])
    assert await grants(database) == {"alice-id": MANAGE}


async def test_an_endpoint_holds_many_grants_and_no_more(
    permissions: EndpointPermissions, database: Database
) -> None:
    async with database.write() as transaction:
        for n in range(MAX_GRANTS):
            transaction.session.add(
                PrincipalRow(id=f"p{n}", kind=PrincipalKind.USER, name=f"u{n}", created_ms=0)
            )
    most = [user(f"u{n}", VIEW) for n in range(MAX_GRANTS - 1)]
    replaced = await permissions.replace(ALICE, ENDPOINT, most)
    assert len(replaced.access) == MAX_GRANTS + 1
    with pytest.raises(InvalidParameter, match="would have 1001 entries"):
        await permissions.merge(ALICE, ENDPOINT, [user(f"u{MAX_GRANTS - 1}", VIEW)])
    # One that is gone makes room.
    async with database.write() as transaction:
        await transaction.session.delete(await transaction.session.get(PrincipalRow, "p0"))
    await permissions.merge(ALICE, ENDPOINT, [user(f"u{MAX_GRANTS - 1}", VIEW)])
    assert "p0" not in await grants(database)


async def test_those_who_are_gone_are_not_listed(
    permissions: EndpointPermissions, database: Database
) -> None:
    await share(database, "chat", Principal("gone-id", "gone"), VIEW)
    assert names(await permissions.get(ALICE, ENDPOINT)) == [ALICE_MANAGES, ADMINS_MANAGE]


async def test_who_manages_an_endpoint_finds_whom_to_name(
    permissions: EndpointPermissions, database: Database
) -> None:
    servicer = PermissionServicer(permissions)
    context: Any = None

    async def found(who: Principal, **asked: object) -> list[tuple[str, str, str]]:
        current_principal.set(who)
        request = pb.FindPrincipalsRequest(**asked)  # type: ignore[arg-type]
        answer = await servicer.FindPrincipals(request, context)
        return [(one.kind, one.name, one.display_name) for one in answer.principals]

    async with database.write() as transaction:
        for name, active in (("a_b", True), ("axb", True), ("gone-bob", False)):
            row = PrincipalRow(id=name, kind=PrincipalKind.USER, name=name, created_ms=0)
            row.active = active
            transaction.session.add(row)
    assert await found(ALICE, search="ALI") == [("GROUP", "alice", ""), ("USER", "alice", "")]
    assert await found(ALICE, search="robot") == [("SERVICE_PRINCIPAL", "robot-app", "Robot")]
    # What stands for any letter elsewhere is a letter here, and who is not active is not found.
    assert await found(ALICE, search="a_") == [("USER", "a_b", "")]
    assert await found(ALICE, search="bob") == [("USER", "bob", "")]
    assert await found(ALICE, search="%") == []
    assert await found(ALICE, search="a\0") == []
    assert [name for _, name, _ in await found(ALICE, max_results=3)] == ["a_b", "admins", "alice"]
    assert await found(ROOT, search="bob") == [("USER", "bob", "")]
    for asked in ({"max_results": 0}, {"max_results": 101}, {"search": "x" * 129}):
        with pytest.raises(InvalidParameter):
            await found(ALICE, **asked)
    # Who may query an endpoint, or is in a group that may, manages none.
    await share(database, "chat", BOB, Level.CAN_QUERY)
    with pytest.raises(PermissionDenied, match="manages no endpoint"):
        await found(BOB, search="alice")
    member = Principal("dan-id", "dan", group_ids=frozenset({USERS_ID, "team-id"}))
    await permissions.merge(ALICE, ENDPOINT, [group("alice", QUERY)])
    with pytest.raises(PermissionDenied):
        await found(member)
    await permissions.merge(ALICE, ENDPOINT, [group("alice", MANAGE)])
    assert await found(member, search="bob") == [("USER", "bob", "")]
