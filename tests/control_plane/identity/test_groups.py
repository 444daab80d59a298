from collections.abc import Collection
from dataclasses import replace

import pytest

from modelplane.control_plane.errors import (
    AlreadyExists,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from modelplane.control_plane.identity.groups import Groups
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.scim import GroupState
from modelplane.control_plane.principal import ADMINS_ID, USERS_ID, Principal, PrincipalKind
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.groups import StoredGroup
from modelplane.control_plane.store.identity.principals import Attribute, Page
from modelplane.control_plane.store.identity.tokens import ensure_admin_token
from modelplane.control_plane.store.states import EventKind
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.identity.test_identities import events
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("42", "bob")


@pytest.fixture
def groups(database: Database, rollout: FakeRollout, clock: FakeClock) -> Groups:
    return Groups(database, rollout, clock, admin_user="root")


@pytest.fixture
async def ids(database: Database, rollout: FakeRollout, clock: FakeClock) -> list[str]:
    """Identifiers of the deployment's administrator and of three users."""
    await ensure_admin_token(database, "secret", "root", clock)
    identities = Identities(database, rollout, clock, admin_user="root")
    for name in ("a", "b", "c"):
        await identities.create(ALICE, PrincipalKind.USER, name, "", active=True)
    found, _ = await identities.list(ALICE, PrincipalKind.USER, Page())
    rollout.applied.clear()
    return [item.id for item in sorted(found, key=lambda item: (item.name != "root", item.name))]


async def set_members(groups: Groups, group_id: str, member_ids: Collection[str]) -> StoredGroup:
    def change(state: GroupState) -> GroupState:
        return replace(state, member_ids=frozenset(member_ids))

    return await groups.change(ALICE, group_id, change)


async def rename(groups: Groups, group_id: str, name: str) -> StoredGroup:
    return await groups.change(ALICE, group_id, lambda state: replace(state, name=name))


async def test_life_of_a_group(
    groups: Groups, database: Database, rollout: FakeRollout, ids: list[str]
) -> None:
    _, a, b, c = ids
    made = await groups.create(ALICE, "team", [a, b])
    assert (made.name, list(made.members)) == ("team", [a, b])
    assert await groups.get(ALICE, made.id) == made
    told = len(await events(database))
    changed = await set_members(groups, made.id, [b, c])
    assert list(changed.members) == [b, c]
    # Whoever came or went is told of, and nobody else.
    assert (await events(database))[told:] == sorted((EventKind.PRINCIPAL, one) for one in (a, c))
    told += 2
    assert (await rename(groups, made.id, "crew")).name == "crew"
    assert (await events(database))[told:] == sorted((EventKind.PRINCIPAL, one) for one in (b, c))
    await groups.delete(ALICE, made.id)
    assert len(await events(database)) == told + 4 == rollout.applied[-1]
    assert len(rollout.applied) == 4
    with pytest.raises(NotFound, match="no group"):
        await groups.get(ALICE, made.id)


@pytest.mark.usefixtures("ids")
async def test_a_change_that_changes_nothing_tells_nobody(
    groups: Groups, database: Database, rollout: FakeRollout
) -> None:
    made = await groups.create(ALICE, "team", [])
    told = await events(database)
    assert await set_members(groups, made.id, []) == made
    await rename(groups, made.id, "crew")
    assert await events(database) == told
    assert rollout.applied == []


async def test_lists(groups: Groups, ids: list[str]) -> None:
    made = await groups.create(ALICE, "Team", [ids[1]])
    everyone, total = await groups.list(ALICE, Page())
    assert total == 3
    members = {group.name: set(group.members) for group in everyone}
    assert members == {"admins": {ids[0]}, "Team": {ids[1]}, "users": set(ids)}
    assert await groups.list(ALICE, Page(Attribute.NAME, "team")) == ([made], 1)
    assert await groups.list(ALICE, Page(Attribute.ID, made.id)) == ([made], 1)
    assert await groups.list(ALICE, Page(Attribute.NAME, "\0")) == ([], 0)
    assert await groups.list(ALICE, Page(Attribute.NAME, "EA", part=True)) == ([made], 1)
    assert await groups.list(ALICE, Page(Attribute.NAME, "e_m", part=True)) == ([], 0)
    assert (await groups.list(ALICE, Page(offset=1, limit=1)))[1] == 3


async def test_what_is_refused(groups: Groups, database: Database, ids: list[str]) -> None:
    team = await groups.create(ALICE, "team", [])
    told = await events(database)
    for name in ("team", "TEAM", "Users"):
        with pytest.raises(AlreadyExists, match="already"):
            await groups.create(ALICE, name, [])
    with pytest.raises(AlreadyExists, match="already"):
        await rename(groups, team.id, "admins")
    for name in ("", "a\n"):
        with pytest.raises(InvalidParameter, match="displayName"):
            await rename(groups, team.id, name)
    with pytest.raises(InvalidParameter, match="cannot be nested"):
        await set_members(groups, team.id, [ids[1], USERS_ID])
    for unknown in ("nobody", "\0"):
        with pytest.raises(InvalidParameter, match="no user or service principal"):
            await groups.create(ALICE, "other", [unknown])
    with pytest.raises(NotFound):
        await groups.delete(ALICE, "\0")
    assert await events(database) == told
    assert (await groups.list(ALICE, Page()))[1] == 3


async def test_the_built_in_groups(groups: Groups, ids: list[str]) -> None:
    for built_in in (ADMINS_ID, USERS_ID):
        with pytest.raises(InvalidParameter, match="must stay"):
            await groups.delete(ALICE, built_in)
        with pytest.raises(InvalidParameter, match="keeps its name"):
            await rename(groups, built_in, "mine")
    with pytest.raises(InvalidParameter, match="Everyone"):
        await set_members(groups, USERS_ID, ids[1:])
    assert set((await set_members(groups, USERS_ID, ids)).members) == set(ids)


async def test_there_always_is_an_administrator(groups: Groups, ids: list[str]) -> None:
    root, a, *_ = ids
    assert set((await set_members(groups, ADMINS_ID, [root, a])).members) == {root, a}
    for left in ([], [a]):
        with pytest.raises(InvalidParameter, match=r"MODELPLANE_ADMIN_USER.*must stay"):
            await set_members(groups, ADMINS_ID, left)
    assert set((await set_members(groups, ADMINS_ID, [root])).members) == {root}


async def test_only_administrators_administer(groups: Groups) -> None:
    for call in (
        groups.get(BOB, USERS_ID),
        groups.list(BOB, Page()),
        groups.create(BOB, "x", []),
        groups.change(BOB, ADMINS_ID, lambda state: state),
        groups.delete(BOB, "x"),
    ):
        with pytest.raises(PermissionDenied, match="no administrator"):
            await call
