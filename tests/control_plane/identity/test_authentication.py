import base64

import pytest

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.errors import Unauthenticated
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.principal import ADMINS_ID, USERS_ID, Principal, PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.identity.principals import find_principal
from modelplane.control_plane.store.identity.tokens import ensure_admin_token, load_tokens
from modelplane.control_plane.store.tables import AccessTokenRow, PrincipalRow
from tests.control_plane.conftest import FakeClock


async def test_the_admin_token_stands_for_the_admin(database: Database, clock: FakeClock) -> None:
    await ensure_admin_token(database, "secret-1", "alice", clock)
    authenticator = Authenticator(database, clock)
    async with database.read() as session:
        stored = await find_principal(session, "alice")
    assert stored is not None
    alice = Principal(stored.id, "alice", admin=True, group_ids=frozenset({ADMINS_ID, USERS_ID}))
    assert await authenticator.authenticate("Bearer secret-1") == alice
    basic = base64.b64encode(b"token:secret-1").decode()
    assert await authenticator.authenticate(f"Basic {basic}") == alice


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Digest secret-1"])
async def test_no_or_an_unknown_token_is_refused(
    database: Database, clock: FakeClock, header: str | None
) -> None:
    await ensure_admin_token(database, "secret-1", "alice", clock)
    with pytest.raises(Unauthenticated):
        await Authenticator(database, clock).authenticate(header)


async def test_an_admin_token_may_hold_points(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    authenticator = Authenticator(database, clock, KnownIssuers(cache, clock, lambda _: None))
    await ensure_admin_token(database, "not.a.jwt", "alice", clock)
    assert (await authenticator.authenticate("Bearer not.a.jwt")).admin
    with pytest.raises(Unauthenticated, match="not valid"):
        await authenticator.authenticate("Bearer not.the.same")


async def test_an_expired_token_is_refused(database: Database, clock: FakeClock) -> None:
    async with database.write() as transaction:
        session = transaction.session
        session.add(PrincipalRow(id="7", kind=PrincipalKind.USER, name="bob", created_ms=0))
        await session.flush()
        old = digest("old")
        session.add(
            AccessTokenRow(
                id="t", digest=old, principal_id="7", created_ms=0, expiry_ms=clock() + 1
            )
        )
    authenticator = Authenticator(database, clock)
    assert await authenticator.authenticate("Bearer old") == Principal("7", "bob")
    clock.now_ms += 1
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticator.authenticate("Bearer old")


async def test_a_principal_that_is_not_active_cannot_call(
    database: Database, clock: FakeClock
) -> None:
    await ensure_admin_token(database, "secret-1", "alice", clock)
    async with database.write() as transaction:
        found = await find_principal(transaction.session, "alice")
        assert found is not None
        row = await transaction.session.get(PrincipalRow, found.id)
        assert row is not None
        row.active = False
    with pytest.raises(Unauthenticated, match="not active"):
        await Authenticator(database, clock).authenticate("Bearer secret-1")
    await ensure_admin_token(database, "secret-1", "alice", clock)
    assert (await Authenticator(database, clock).authenticate("Bearer secret-1")).admin


async def test_a_new_admin_token_replaces_the_old_one(database: Database, clock: FakeClock) -> None:
    await ensure_admin_token(database, "secret-1", "alice", clock)
    await ensure_admin_token(database, "secret-1", "alice", clock)
    async with database.read() as session:
        (old,) = await load_tokens(session, None)
        events = [event.key for event in await read_events(session, 0, 10)]
    assert events == [old.principal_id, old.id]
    await ensure_admin_token(database, "secret-2", "alice", clock)
    async with database.read() as session:
        (new,) = await load_tokens(session, None)
        assert (new.id, new.digest) == (old.id, digest("secret-2"))
        events = [event.key for event in await read_events(session, 2, 10)]
    assert set(events) == {new.id}
