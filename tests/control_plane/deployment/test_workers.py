"""Whoever asks any replica is told of the workers of all."""

import asyncio

import pytest

from modelplane.control_plane.deployment.workers import Workers
from modelplane.control_plane.errors import PermissionDenied
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.snapshots.peers import NoPeers, PostgresqlPeers
from modelplane.control_plane.snapshots.watchers import Watcher
from modelplane.control_plane.store.database import Database
from tests.control_plane.snapshots.conftest import PushSide, push_side

ADMIN = Principal("1", "ann", admin=True)


async def listed(workers: Workers) -> list[tuple[str, str, int]]:
    fleet = await workers.list_all(ADMIN)
    return [(one.worker_id, one.replica_id, one.acked_revision) for one in fleet.workers]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_workers_of_the_only_replica(database: Database) -> None:
    async with push_side(database) as side:
        workers = Workers("me", side.cache, side.watchers, NoPeers())
        assert await listed(workers) == []
        one, two = Watcher("b", "test", 3), Watcher("a", "test", 0)
        side.watchers.add(one)
        side.watchers.add(two)
        side.watchers.acknowledge(two, 5)
        assert await listed(workers) == [("a", "me", 5), ("b", "me", 3)]
        side.watchers.remove(one)
        assert await listed(workers) == [("a", "me", 5)]
        with pytest.raises(PermissionDenied):
            await workers.list_all(Principal("2", "bob"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_workers_of_other_replicas_are_known(database: Database) -> None:
    def asked(side: PushSide, replica_id: str) -> Workers:
        peers = PostgresqlPeers(replica_id, database, side.cache, side.watchers)
        return Workers(replica_id, side.cache, side.watchers, peers)

    async def told(workers: Workers, *expected: tuple[str, str, int]) -> None:
        async with asyncio.timeout(60):
            while await listed(workers) != list(expected):
                await asyncio.sleep(0.02)

    async with (
        push_side(database, replica_id="here") as here,
        push_side(database, replica_id="there") as there,
    ):
        here.watchers.add(Watcher("a", "test", 1))
        moved = Watcher("b", "test", 2)
        there.watchers.add(moved)
        workers = asked(here, "here")
        await told(workers, ("a", "here", 1), ("b", "there", 2))
        await told(asked(there, "there"), ("a", "here", 1), ("b", "there", 2))
        there.watchers.acknowledge(moved, 7)
        await told(workers, ("a", "here", 1), ("b", "there", 7))
        # A worker that comes here is no longer there, whatever is said there still.
        here.watchers.add(Watcher("b", "test", 7))
        assert await listed(workers) == [("a", "here", 1), ("b", "here", 7)]
