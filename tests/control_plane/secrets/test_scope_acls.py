import contextlib
import itertools
from collections.abc import Awaitable, Callable

import pytest

from modelplane.control_plane.errors import InvalidParameter, NotFound, PermissionDenied
from modelplane.control_plane.principal import USERS_ID, Permission, Principal, PrincipalKind
from modelplane.control_plane.secrets.scope_acls import AclEntry, ScopeAcls
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import GroupRow, PrincipalRow
from tests.control_plane.conftest import ALICE

BOB = Principal("bob-id", "bob")
CAROL = Principal("carol-id", "carol", group_ids=frozenset({USERS_ID, "team-id"}))
KEY = ("bobs", "key")


@pytest.fixture
def acls(database: Database) -> ScopeAcls:
    return ScopeAcls(database)


@pytest.fixture(autouse=True)
async def people(database: Database, secrets: Secrets) -> None:
    """Some people, and a scope of bob's."""
    async with database.write() as transaction:
        add = transaction.session.add
        for name in ("alice", "bob", "carol", "both"):
            kind = PrincipalKind.USER
            add(PrincipalRow(id=f"{name}-id", kind=kind, name=name, created_ms=1))
        robot = PrincipalKind.SERVICE_PRINCIPAL
        add(PrincipalRow(id="robot-id", kind=robot, name="0b9a-app", created_ms=1))
        for group in ("team", "both"):
            add(GroupRow(id=f"{group}-id" if group == "team" else "g", name=group, created_ms=1))
        add(GroupRow(id=USERS_ID, name="users", created_ms=1))
    await make_scope(secrets)


async def make_scope(secrets: Secrets) -> None:
    """Create a scope for bob, with one secret."""
    await secrets.create_scope(BOB, "bobs", backend="", manager="")
    await secrets.put(BOB, KEY, b"value")


CALLS: dict[
    str, tuple[Permission, Callable[[Secrets, ScopeAcls, Principal], Awaitable[object]]]
] = {
    "list": (Permission.READ, lambda s, _, who: s.list_secrets(who, "bobs")),
    "put": (Permission.WRITE, lambda s, _, who: s.put(who, ("bobs", "new"), b"v")),
    "delete": (Permission.WRITE, lambda s, _, who: s.delete(who, KEY)),
    "delete scope": (Permission.MANAGE, lambda s, _, who: s.delete_scope(who, "bobs")),
    "put acl": (
        Permission.MANAGE,
        lambda _, a, who: a.put(who, "bobs", grantee="alice", permission="READ"),
    ),
    "get acl": (Permission.MANAGE, lambda _, a, who: a.get(who, "bobs", "bob")),
    "list acls": (Permission.MANAGE, lambda _, a, who: a.list_all(who, "bobs")),
    "delete acl": (Permission.MANAGE, lambda _, a, who: a.delete(who, "bobs", "bob")),
}


@pytest.mark.parametrize("call", CALLS)
async def test_who_may_do_what(secrets: Secrets, acls: ScopeAcls, call: str) -> None:
    for held, grantee in itertools.product(Permission, ("carol", "team", "users")):
        if held:
            await acls.put(BOB, "bobs", grantee=grantee, permission=held.name)
        await check_call(secrets, acls, call, held)
        with contextlib.suppress(NotFound):
            await secrets.delete_scope(ALICE, "bobs")
        await make_scope(secrets)


async def check_call(secrets: Secrets, acls: ScopeAcls, call: str, held: Permission) -> None:
    needed, do = CALLS[call]
    listed = [item.name for item in await secrets.list_scopes(CAROL)]
    assert listed == (["bobs"] if held else [])
    if held >= needed:
        await do(secrets, acls, CAROL)
    elif held:
        with pytest.raises(PermissionDenied, match=f"needs {needed.name} on scope 'bobs'"):
            await do(secrets, acls, CAROL)
    else:
        with pytest.raises(NotFound, match="Scope 'bobs' does not exist"):
            await do(secrets, acls, CAROL)


@pytest.mark.parametrize("call", CALLS)
async def test_creators_and_administrators_manage(
    secrets: Secrets, acls: ScopeAcls, call: str
) -> None:
    _, do = CALLS[call]
    for who in (BOB, ALICE) if "delete" not in call else (ALICE,):
        await do(secrets, acls, who)


async def test_a_scope_may_be_everyones(secrets: Secrets, acls: ScopeAcls) -> None:
    await secrets.create_scope(BOB, "open", backend="", manager="users")
    await secrets.put(CAROL, ("open", "key"), b"v")
    listed = await acls.list_all(CAROL, "open")
    assert listed == [AclEntry("bob", Permission.MANAGE), AclEntry("users", Permission.MANAGE)]


async def test_lists_are_changed_entry_by_entry(acls: ScopeAcls) -> None:
    for grantee, permission in (("team", "READ"), ("0b9a-app", "WRITE"), ("team", "WRITE")):
        await acls.put(BOB, "bobs", grantee=grantee, permission=permission)
    assert await acls.list_all(BOB, "bobs") == [
        AclEntry("0b9a-app", Permission.WRITE),
        AclEntry("bob", Permission.MANAGE),
        AclEntry("team", Permission.WRITE),
    ]
    assert await acls.get(BOB, "bobs", "team") == AclEntry("team", Permission.WRITE)
    await acls.delete(BOB, "bobs", "team")
    for call in (acls.get, acls.delete):
        with pytest.raises(NotFound, match="'team' is not in the access control list"):
            await call(BOB, "bobs", "team")


@pytest.mark.parametrize(
    ("grantee", "permission", "reason"),
    [
        ("bob", "OWN", "permission 'OWN' is unknown; use READ, WRITE, MANAGE"),
        ("bob", "NONE", "permission 'NONE' is unknown"),
        ("bob", "", "permission '' is unknown"),
        ("dave", "READ", "principal 'dave' is neither"),
        ("", "READ", "principal '' is neither"),
        ("a\0", "READ", "is neither"),
        ("both", "READ", "rename the group"),
    ],
)
async def test_what_is_refused(acls: ScopeAcls, grantee: str, permission: str, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        await acls.put(BOB, "bobs", grantee=grantee, permission=permission)
    assert [entry.grantee for entry in await acls.list_all(BOB, "bobs")] == ["bob"]


async def test_those_who_are_gone_are_not_listed(acls: ScopeAcls, database: Database) -> None:
    await acls.put(BOB, "bobs", grantee="carol", permission="READ")
    async with database.write() as transaction:
        row = await transaction.session.get_one(PrincipalRow, "carol-id")
        await transaction.session.delete(row)
    assert [entry.grantee for entry in await acls.list_all(BOB, "bobs")] == ["bob"]


async def test_values_are_returned_to_nobody(secrets: Secrets) -> None:
    for who in (BOB, ALICE):
        with pytest.raises(PermissionDenied, match=r"\{\{secrets/bobs/key\}\}"):
            await secrets.check_get(who, KEY)
    with pytest.raises(NotFound, match="no secret with the key 'other'"):
        await secrets.check_get(BOB, ("bobs", "other"))
    with pytest.raises(NotFound, match="Scope 'bobs' does not exist"):
        await secrets.check_get(CAROL, KEY)
