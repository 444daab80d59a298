"""What is kept beside groups: logs, demand and the active launcher."""

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import Capacity
from modelserving.worker.v1.hosting_pb2 import GroupDemand

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.hosting import demand, launchers, logs
from modelplane.control_plane.store.hosting.launchers import Claim
from modelplane.control_plane.store.states import LogKind
from tests.control_plane.configs import hosted_model, hosting_version, new_endpoint


@pytest.fixture(autouse=True)
async def group(database: Database) -> None:
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint("e"))
        await changes.begin_rollout(transaction, "e", hosting_version(1, hosted_model("a")))


async def test_logs_are_replaced_and_die_with_their_group(database: Database) -> None:
    for text in ("old", "new\0"):
        told = {("group-a", LogKind.BUILD): text, ("gone", LogKind.BUILD): "?"}
        async with database.write() as transaction:
            await logs.save_logs(transaction, told, 1)
    async with database.read() as session:
        assert (
            await logs.read_log(session, "group-a", LogKind.BUILD) == "new\N{REPLACEMENT CHARACTER}"
        )
        assert await logs.read_log(session, "group-a", LogKind.SERVICE) == ""
    async with database.write() as transaction:
        await changes.remove(transaction, "e")
    async with database.read() as session:
        assert await logs.read_log(session, "group-a", LogKind.BUILD) == ""


async def test_demand_is_kept_by_worker_while_it_is_new(database: Database) -> None:
    for at, waiting in ((1, 5), (2, 0)):
        told = {
            (group_id, "w"): GroupDemand(group_id=group_id, waiting=waiting)
            for group_id in ("group-a", "gone")
        }
        async with database.write() as transaction:
            await demand.save_demand(transaction, told, at)
    async with database.read() as session:
        found = await demand.read_demand(session, 1)
        assert [(item.worker_id, item.demand.waiting) for item in found["group-a"]] == [("w", 0)]
        assert found.keys() == {"group-a"}
        assert await demand.read_demand(session, 2) == {}


async def test_one_launcher_of_a_pool_is_active_until_its_lease_ends(database: Database) -> None:
    async def claim(launcher_id: str, now_ms: int) -> str:
        wanted = Claim("default", launcher_id, "local", now_ms + 10)
        async with database.write() as transaction:
            return await launchers.claim(transaction, wanted, now_ms)

    assert await claim("a", 0) == "a"
    assert await claim("b", 5) == "a"
    assert await claim("a", 8) == "a"
    assert await claim("b", 17) == "a"
    assert await claim("b", 18) == "b"
    async with database.write() as transaction:
        await launchers.shorten(transaction, "default", "a", 0)
        for name, cpus in (("a", 1), ("b", 2)):
            await launchers.save_capacity(transaction, "default", name, Capacity(cpus=cpus))
    async with database.read() as session:
        found = await launchers.read_launcher(session, "default")
        assert found is not None
        assert (found.launcher_id, found.capacity) == ("b", Capacity(cpus=2))
        assert await launchers.read_launcher(session, "other") is None
    async with database.write() as transaction:
        await launchers.shorten(transaction, "default", "b", 0)
    assert await claim("a", 19) == "a"
    # The clock is set back, and the launcher with the long lease is gone.
    assert await claim("a", 100_000) == "a"
    assert await claim("b", 20) == "b"
    assert await claim("a", 21) == "b"
