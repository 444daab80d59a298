import asyncio
from collections.abc import AsyncIterator

import pytest

from modelplane.control_plane.errors import StoreUnavailable, Unauthenticated
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.known_tokens import KnownTokens
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.feed import Feed
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.tokens import (
    ADMIN_TOKEN_ID,
    ensure_admin_token,
    remove_token,
)
from tests.control_plane.conftest import FakeClock


class CountingCache(SnapshotCache):
    """Counts how often the database is asked; fails as told."""

    looks = 0
    error: Exception | None = None

    async def refresh(self) -> None:
        self.looks += 1
        if self.error:
            raise self.error
        await super().refresh()


@pytest.fixture
async def cache(database: Database, sealer: Sealer) -> CountingCache:
    cache = CountingCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    return cache


@pytest.fixture
async def authenticator(
    database: Database, cache: CountingCache, clock: FakeClock
) -> AsyncIterator[Authenticator]:
    feed = Feed(database, cache, keep_events=10_000)
    following = asyncio.create_task(feed.run())
    yield Authenticator(database, clock, None, KnownTokens(cache, feed))
    following.cancel()
    await asyncio.wait([following])


async def test_a_flood_of_unknown_tokens_shares_a_few_looks(
    authenticator: Authenticator, cache: CountingCache
) -> None:
    asked = await asyncio.gather(
        *(authenticator.authenticate(f"Bearer wrong-{number}") for number in range(500)),
        return_exceptions=True,
    )
    assert {type(error) for error in asked} == {Unauthenticated}
    assert cache.looks <= 3


async def test_a_token_is_known_at_once_whoever_made_it_and_not_once_it_is_gone(
    authenticator: Authenticator, database: Database, clock: FakeClock
) -> None:
    # Nobody hints at this: another replica may have made it.
    await ensure_admin_token(database, "secret-1", "alice", clock)
    assert (await authenticator.authenticate("Bearer secret-1")).admin
    async with database.write() as transaction:
        await remove_token(transaction, ADMIN_TOKEN_ID)
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate("Bearer secret-1")
    await ensure_admin_token(database, "secret-2", "alice", clock)
    assert (await authenticator.authenticate("Bearer secret-2")).admin
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate("Bearer secret-1")


async def test_without_the_database_it_is_not_said_that_a_token_is_wrong(
    authenticator: Authenticator, cache: CountingCache
) -> None:
    cache.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate("Bearer secret-1")
    cache.error = None
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate("Bearer secret-1")
