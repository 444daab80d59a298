from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.rpc.sizes import MAX_MESSAGE_BYTES
from modelplane.control_plane.principal import PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.snapshots import cache as cache_module
from modelplane.control_plane.snapshots.builder import Resource, ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.identity.principals import (
    StoredPrincipal,
    insert_principal,
    load_principals,
    new_id,
    remove_principal,
    update_principal,
)
from modelplane.control_plane.store.identity.tokens import StoredToken, insert_token
from modelplane.control_plane.store.states import EventKind

KIB = 1024


class Fixed:
    """Loads endpoints of given sizes."""

    def __init__(self, *sizes: int) -> None:
        self.endpoints = {str(place): _endpoint(place, size) for place, size in enumerate(sizes)}

    async def load(self, _: Any, kind: EventKind, keys: object) -> Mapping[str, Resource]:
        assert keys is None
        return self.endpoints if kind is EventKind.ENDPOINT else {}


def _endpoint(place: int, size: int) -> EndpointResource:
    entity = ServedEntity(name="x" * size)
    return EndpointResource(id=str(place), active=EndpointConfig(served_entities=[entity]))


async def test_parts_of_a_full_snapshot_fit_into_messages(database: Database) -> None:
    # Together far beyond a message, and one that is long by itself.
    sizes = [64 * KIB] * 300 + [6000 * KIB] + [10] * 1200
    cache = SnapshotCache(database, cast("ResourceBuilder", Fixed(*sizes)))
    await cache.load()
    *parts, last = cache.chunks()
    assert max(part.ByteSize() for part in parts) < MAX_MESSAGE_BYTES / 2
    assert max(len(part.endpoints) for part in parts) == 500
    found = [endpoint.id for part in parts for endpoint in part.endpoints]
    assert found == [str(place) for place in range(len(sizes))]
    assert last.last
    assert not any(part.last or not part.endpoints for part in parts)


async def test_many_changes_fit_into_few_messages(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_CHUNK_RESOURCES", 5)
    cache = await _cache(database)
    start = cache.revision
    async with database.write() as transaction:
        added = [await _add(transaction, f"user{number}") for number in range(12)]
    await cache.refresh()
    deltas = list(cache.changes_since(start))
    assert [len(delta.principals) for delta in deltas] == [5, 5, 2]
    assert [item.id for delta in deltas for item in delta.principals] == added
    # Whoever has all but the last one is given no more than that.
    assert [len(delta.principals) for delta in cache.changes_since(deltas[1].revision)] == [2]
    assert deltas[-1].revision == cache.revision


async def test_what_takes_access_away_is_told_apart_from_the_rest(database: Database) -> None:
    cache = await _cache(database)
    async with database.write() as transaction:
        gone, stays = [await _add(transaction, name) for name in ("gone", "stays")]
        await insert_token(transaction, _token("t1", gone))
    await cache.refresh()
    start = cache.revision
    async with database.write() as transaction:
        for number in range(12):
            await _add(transaction, f"user{number}")
        await remove_principal(transaction, gone)
    await cache.refresh()
    urgent, asked = cache.urgent_since(start, start)
    assert urgent is not None
    assert list(urgent.removed_principal_ids) == [gone]
    assert list(urgent.removed_token_ids) == ["t1"]
    # The worker is where it was: all that is older is still to come.
    assert (urgent.revision, asked) == (start, cache.revision)
    assert not urgent.principals
    assert cache.urgent_since(asked, start) == (None, asked)
    # An account that is deactivated is gone too, and is not when it is back.
    for active, told in ((False, [stays]), (True, [])):
        async with database.write() as transaction:
            (found,) = await load_principals(transaction.session, [stays])
            await update_principal(transaction, replace(found, active=active))
        await cache.refresh()
        urgent, _ = cache.urgent_since(asked, start)
        assert (list(urgent.removed_principal_ids) if urgent else []) == told


async def _cache(database: Database) -> SnapshotCache:
    sealer = Sealer(FixedKeys(bytes(32)))
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    return cache


async def _add(transaction: Transaction, name: str) -> str:
    kind = PrincipalKind.USER
    new = StoredPrincipal(
        new_id(), kind, name, name, active=True, created_ms=1, tokens_valid_from_ms=0, groups={}
    )
    await insert_principal(transaction, new)
    return new.id


def _token(token_id: str, owner: str) -> StoredToken:
    return StoredToken(token_id, token_id.encode() * 16, owner, "", 1, None)
