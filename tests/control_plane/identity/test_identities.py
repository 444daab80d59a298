import uuid
from dataclasses import replace

import pytest

from modelplane.control_plane.errors import (
    AlreadyExists,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.scim import PrincipalState
from modelplane.control_plane.identity.tokens import NewToken, Tokens
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.identity.principals import (
    Attribute,
    Page,
    StoredPrincipal,
    load_principals,
)
from modelplane.control_plane.store.identity.tokens import ensure_admin_token, load_tokens
from modelplane.control_plane.store.states import EventKind
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.rollouts import FakeRollout

USER, ROBOT = PrincipalKind.USER, PrincipalKind.SERVICE_PRINCIPAL
BOB = Principal("42", "bob")


@pytest.fixture
def identities(database: Database, rollout: FakeRollout, clock: FakeClock) -> Identities:
    return Identities(database, rollout, clock, admin_user="root")


async def make(
    identities: Identities, name: str = "ann", kind: PrincipalKind = USER
) -> StoredPrincipal:
    return await identities.create(ALICE, kind, name, "", active=True)


async def set_active(identities: Identities, principal_id: str, *, active: bool) -> None:
    def change(state: PrincipalState) -> PrincipalState:
        return replace(state, active=active)

    await identities.change(ALICE, USER, principal_id, change)


async def events(database: Database) -> list[tuple[EventKind, str]]:
    async with database.read() as session:
        return [(event.kind, event.key) for event in await read_events(session, 0, 10_000)]


async def test_a_principal_is_made_read_and_deleted(
    identities: Identities, database: Database, rollout: FakeRollout
) -> None:
    made = await make(identities)
    assert (made.name, made.display_name, made.active) == ("ann", "ann", True)
    assert dict(made.groups) == {"2": "users"}
    assert len(made.id) <= 15
    assert await identities.get(ALICE, USER, made.id) == made
    assert await identities.me(made.principal) == made
    await identities.delete(ALICE, USER, made.id)
    for read in (identities.get(ALICE, USER, made.id), identities.me(made.principal)):
        with pytest.raises(NotFound, match="no user with the id"):
            await read
    assert await events(database) == [(EventKind.PRINCIPAL, made.id)] * 2
    assert rollout.applied == [1, 2]


async def test_a_service_principal_gets_an_application_id(identities: Identities) -> None:
    made = await make(identities, "", ROBOT)
    assert str(uuid.UUID(made.name)) == made.name == made.display_name
    given = str(uuid.uuid4()).upper()
    assert (await make(identities, given, ROBOT)).name == given.lower()
    with pytest.raises(InvalidParameter, match="must be a UUID"):
        await make(identities, "robot", ROBOT)
    with pytest.raises(NotFound, match="no user"):
        await identities.get(ALICE, USER, made.id)
    with pytest.raises(NotFound, match="no service principal"):
        await identities.delete(ALICE, ROBOT, "7\0")


async def test_names_are_unique_in_upper_and_lower_case(identities: Identities) -> None:
    await make(identities, "Änn")
    for name in ("Änn", "ÄnN"):
        with pytest.raises(AlreadyExists, match="already"):
            await make(identities, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "userName is missing"),
        ("a\n", "control character"),
        ("a\0", "control character"),
        ("a\u202eb", "control character"),
        (" a", "no space"),
        ("x" * 257, "at most 256"),
    ],
)
async def test_names_that_are_refused(
    identities: Identities, database: Database, name: str, reason: str
) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        await make(identities, name)
    assert await events(database) == []


async def test_lists(identities: Identities) -> None:
    made = {name: await make(identities, name) for name in ("a", "c", "b")}
    await make(identities, "", ROBOT)
    ordered = [made["a"], made["b"], made["c"]]
    for page, found, total in [
        (Page(), ordered, 3),
        (Page(offset=1, limit=1), [made["b"]], 3),
        (Page(offset=3), [], 3),
        (Page(limit=0), [], 3),
        (Page(Attribute.NAME, "C"), [made["c"]], 1),
        (Page(Attribute.DISPLAY_NAME, "b"), [made["b"]], 1),
        (Page(Attribute.ID, made["a"].id), [made["a"]], 1),
        (Page(Attribute.ID, "\0"), [], 0),
        (Page(Attribute.NAME, "C", part=True), [made["c"]], 1),
        (Page(Attribute.NAME, "", limit=2, part=True), ordered[:2], 3),
        (Page(Attribute.NAME, "%", part=True), [], 0),
    ]:
        assert await identities.list(ALICE, USER, page) == (found, total)


async def test_only_administrators_administer(identities: Identities) -> None:
    made = await make(identities)
    assert await identities.get(made.principal, USER, made.id) == made
    for call in (
        identities.get(BOB, USER, made.id),
        identities.get(BOB, USER, "nobody"),
        identities.list(BOB, USER, Page()),
        identities.create(BOB, USER, "x", "", active=True),
        identities.change(BOB, USER, BOB.id, lambda state: state),
        identities.delete(BOB, USER, made.id),
    ):
        with pytest.raises(PermissionDenied, match="no administrator"):
            await call


async def test_one_that_is_shut_out_has_no_valid_jwt_left(
    identities: Identities, database: Database, clock: FakeClock
) -> None:
    made = await make(identities)
    clock.now_ms += 5_000
    await set_active(identities, made.id, active=False)
    assert not (await identities.get(ALICE, USER, made.id)).active
    clock.now_ms += 5_000
    await set_active(identities, made.id, active=True)
    back = await identities.get(ALICE, USER, made.id)
    assert back.active
    # Later than the second in which it was shut out, which is all that a JWT says.
    assert back.tokens_valid_from * 1000 > made.created_ms + 5_000
    before = await events(database)
    await set_active(identities, made.id, active=True)
    assert await events(database) == before


async def test_tokens_die_with_their_owner(
    identities: Identities, database: Database, rollout: FakeRollout, clock: FakeClock
) -> None:
    made = await make(identities)
    created = await Tokens(database, rollout, clock).create(made.principal, NewToken("", None))
    token_id = created.owned.token.id
    await identities.delete(ALICE, USER, made.id)
    async with database.read() as session:
        assert await load_tokens(session, None) == []
    assert await events(database) == [
        (EventKind.PRINCIPAL, made.id),
        (EventKind.TOKEN, token_id),
        (EventKind.TOKEN, token_id),
        (EventKind.PRINCIPAL, made.id),
    ]


async def test_the_deployments_administrator_stays(
    identities: Identities, database: Database, clock: FakeClock
) -> None:
    await ensure_admin_token(database, "secret", "root", clock)
    async with database.read() as session:
        (root,) = await load_principals(session, None)
    with pytest.raises(InvalidParameter, match=r"MODELPLANE_ADMIN_USER.*cannot be deactivated"):
        await set_active(identities, root.id, active=False)
    with pytest.raises(InvalidParameter, match=r"MODELPLANE_ADMIN_USER.*cannot be deleted"):
        await identities.delete(root.principal, USER, root.id)
    assert (await identities.me(root.principal)).active
