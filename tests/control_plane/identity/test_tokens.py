import re

import pytest

from modelplane.control_plane.errors import (
    InvalidParameter,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
)
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.tokens import (
    MAX_LIFETIME_SECONDS,
    MAX_TOKENS,
    NewToken,
    Tokens,
)
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.tokens import (
    StoredToken,
    ensure_admin_token,
    insert_token,
)
from modelplane.control_plane.store.states import EventKind
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.identity.test_identities import events
from tests.control_plane.rollouts import FakeRollout

FOREVER = NewToken("for a test", None)


@pytest.fixture
def tokens(database: Database, rollout: FakeRollout, clock: FakeClock) -> Tokens:
    return Tokens(database, rollout, clock)


async def make(
    database: Database,
    rollout: FakeRollout,
    clock: FakeClock,
    kind: PrincipalKind = PrincipalKind.USER,
) -> Principal:
    identities = Identities(database, rollout, clock, admin_user="root")
    name = "ann" if kind is PrincipalKind.USER else ""
    return (await identities.create(ALICE, kind, name, "", active=True)).principal


@pytest.fixture
async def ann(database: Database, rollout: FakeRollout, clock: FakeClock) -> Principal:
    return await make(database, rollout, clock)


@pytest.fixture
async def robot(database: Database, rollout: FakeRollout, clock: FakeClock) -> Principal:
    return await make(database, rollout, clock, PrincipalKind.SERVICE_PRINCIPAL)


async def test_life_of_a_token(
    tokens: Tokens, database: Database, rollout: FakeRollout, clock: FakeClock, ann: Principal
) -> None:
    authenticator = Authenticator(database, clock)
    made = await tokens.create(ann, FOREVER)
    assert re.fullmatch(r"dapi[0-9a-f]{32}", made.value)
    assert made.value not in repr(made)
    token = made.owned.token
    assert (token.comment, token.expiry_ms) == ("for a test", None)
    assert await authenticator.authenticate(f"Bearer {made.value}") == ann
    assert await tokens.list_own(ann) == [token]
    await tokens.delete_own(ann, token.id)
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {made.value}")
    assert await tokens.list_own(ann) == []
    assert (await events(database))[1:] == [(EventKind.TOKEN, token.id)] * 2
    assert rollout.applied == [1, 2, 3]


async def test_the_token_itself_is_not_stored(
    tokens: Tokens, ann: Principal, database: Database
) -> None:
    made = await tokens.create(ann, FOREVER)
    async with database.engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM access_token")).all()
    assert len(rows) == 1
    assert made.value not in str(rows)
    assert made.value.encode() not in b"".join(
        bytes(value) for value in rows[0] if isinstance(value, bytes | memoryview)
    )


async def test_expired_tokens_are_forgotten(
    tokens: Tokens, database: Database, clock: FakeClock, ann: Principal
) -> None:
    short = (await tokens.create(ann, NewToken("", 1))).owned.token
    kept = (await tokens.create(ann, NewToken("", 2))).owned.token
    assert short.expiry_ms == clock.now_ms + 1000
    clock.now_ms += 1000
    with pytest.raises(NotFound):
        await tokens.get(ALICE, short.id)
    told = len(await events(database))
    assert await tokens.list_own(ann) == [kept]
    # The workers are told to forget it too.
    assert (await events(database))[told:] == [(EventKind.TOKEN, short.id)]
    assert await tokens.list_own(ann) == [kept]
    assert len(await events(database)) == told + 1


async def test_one_may_have_only_so_many(
    tokens: Tokens, database: Database, clock: FakeClock, ann: Principal, robot: Principal
) -> None:
    async with database.write(seconds=60) as transaction:
        for number in range(MAX_TOKENS - 1):
            name = f"t{number}"
            await insert_token(
                transaction, StoredToken(name, name.encode(), ann.id, "", clock(), None)
            )
    await tokens.create(ann, NewToken("", 1))
    with pytest.raises(QuotaExceeded, match="'ann' has 600 access tokens already"):
        await tokens.create(ann, FOREVER)
    await tokens.create(robot, FOREVER)
    clock.now_ms += 1000
    await tokens.create(ann, FOREVER)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (NewToken("", 0), "lifetime_seconds is 0"),
        (NewToken("", -1), "lifetime_seconds is -1"),
        (NewToken("", MAX_LIFETIME_SECONDS + 1), "lifetime_seconds is 3153600001"),
        (NewToken("x" * 1025, None), "at most 1024"),
        (NewToken("\0", None), "NUL"),
    ],
)
async def test_what_is_refused(
    tokens: Tokens, ann: Principal, wanted: NewToken, reason: str
) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        await tokens.create(ann, wanted)
    assert await tokens.list_own(ann) == []


async def test_others_tokens_do_not_exist(tokens: Tokens, ann: Principal, robot: Principal) -> None:
    token = (await tokens.create(robot, FOREVER)).owned.token
    for token_id in (token.id, "nothing", "\0"):
        with pytest.raises(NotFound, match="no access token"):
            await tokens.delete_own(ann, token_id)
    assert await tokens.list_own(robot) == [token]


async def test_administrators_look_after_all(
    tokens: Tokens, ann: Principal, robot: Principal, clock: FakeClock
) -> None:
    own = (await tokens.create(ann, FOREVER)).owned
    clock.now_ms += 1
    given = (await tokens.create_on_behalf(ALICE, robot.name, FOREVER)).owned
    assert (own.owner, given.owner) == ("ann", robot.name)
    assert given.token.principal_id == robot.id
    assert await tokens.list_all(ALICE, owner_id=None, owner=None) == [own, given]
    assert await tokens.list_all(ALICE, owner_id=ann.id, owner=None) == [own]
    assert await tokens.list_all(ALICE, owner_id=None, owner=robot.name) == [given]
    assert await tokens.list_all(ALICE, owner_id=ann.id, owner=robot.name) == []
    assert await tokens.get(ALICE, own.token.id) == own
    assert (await tokens.create_on_behalf(ALICE, "ann", NewToken("", 1))).owned.owner == "ann"
    await tokens.delete_any(ALICE, own.token.id)
    for token_id in (own.token.id, "\0"):
        with pytest.raises(NotFound):
            await tokens.get(ALICE, token_id)
        with pytest.raises(NotFound):
            await tokens.delete_any(ALICE, token_id)
    for name in ("nobody", "\0"):
        with pytest.raises(NotFound, match="no service principal"):
            await tokens.create_on_behalf(ALICE, name, FOREVER)


async def test_nobody_else_does(tokens: Tokens, ann: Principal, robot: Principal) -> None:
    for call in (
        tokens.create_on_behalf(ann, robot.name, FOREVER),
        tokens.list_all(ann, owner_id=ann.id, owner=None),
        tokens.get(ann, "x"),
        tokens.delete_any(ann, "x"),
    ):
        with pytest.raises(PermissionDenied, match="no administrator"):
            await call


async def test_the_deployments_token_stays(
    tokens: Tokens, database: Database, clock: FakeClock
) -> None:
    await ensure_admin_token(database, "secret", "root", clock)
    (listed,) = await tokens.list_all(ALICE, owner_id=None, owner="root")
    root = Principal(listed.token.principal_id, "root", admin=True)
    assert "MODELPLANE_ADMIN_TOKEN" in listed.token.comment
    for call in (
        tokens.delete_own(root, listed.token.id),
        tokens.delete_any(root, listed.token.id),
    ):
        with pytest.raises(InvalidParameter, match="MODELPLANE_ADMIN_TOKEN"):
            await call
    # A comment is nothing that a token is known by.
    other = await tokens.create(root, NewToken(listed.token.comment, None))
    await ensure_admin_token(database, "secret-2", "root", clock)
    assert other.owned.token in await tokens.list_own(root)


async def test_one_that_is_gone_gets_no_token(tokens: Tokens) -> None:
    with pytest.raises(NotFound, match="does not exist any more"):
        await tokens.create(Principal("7", "gone"), FOREVER)
