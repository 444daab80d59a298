"""Which groups there are while versions come and go."""

from dataclasses import replace

import pytest
from modelserving.store.v1.rollouts_pb2 import GroupHistory
from modelserving.v1.rollout_pb2 import DeploymentStep
from modelserving.worker.v1.hosting_pb2 import Replica

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, records, rollouts
from modelplane.control_plane.store.endpoints.changes import NewVersion
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import EventKind, GroupPhase
from tests.control_plane.configs import hosted_model, hosting_version, new_endpoint

A, B, C = (hosted_model(name) for name in "abc")
REPLICA = Replica(id="r", address="127.0.0.1:1", concurrency=4, token="t")


@pytest.fixture
async def endpoint(database: Database) -> None:
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint("e"))


async def begin(database: Database, new: NewVersion) -> None:
    async with database.write() as transaction:
        await changes.begin_rollout(transaction, "e", new)


async def activate(database: Database) -> None:
    async with database.write() as transaction:
        (rollout,) = await rollouts.read_rollouts(transaction.session)
        assert await rollouts.begin_activation(transaction, rollout, 1)
    async with database.write() as transaction:
        (rollout,) = await rollouts.read_rollouts(transaction.session)
        assert await rollouts.complete(transaction, rollout, ready=True, now_ms=1)


async def fail(database: Database, reason: str) -> None:
    async with database.write() as transaction:
        (rollout,) = await rollouts.read_rollouts(transaction.session)
        assert await rollouts.fail(transaction, rollout, reason, 1)


async def become(database: Database, group_id: str, **values: object) -> None:
    async with database.write() as transaction:
        (group,) = await groups.lock(transaction, [group_id])
        await groups.save(transaction, [replace(group, **values)])  # type: ignore[arg-type]


async def read(database: Database) -> StoredEndpoint:
    async with database.read() as session:
        found = await records.find_by_id(session, "e")
    assert found is not None
    return found


async def phases(database: Database) -> dict[str, tuple[GroupPhase, int]]:
    found = await read(database)
    return {
        group.served_entity_name: (group.phase, group.desired) for group in found.groups.values()
    }


async def told(database: Database) -> list[str]:
    async with database.read() as session:
        events = await read_events(session, 0, 10_000)
    return [event.key for event in events if event.kind is EventKind.GROUP]


@pytest.mark.usefixtures("endpoint")
async def test_a_new_version_begins_a_group_for_each_model(database: Database) -> None:
    await begin(database, hosting_version(1, A, B, KEY="{{secrets/s/k}}"))
    found = await read(database)
    assert found.pending is not None
    assert found.pending.hosted == (A, B)
    group = found.groups["group-a"]
    assert group == StoredGroup(
        id="group-a",
        endpoint_id="e",
        served_entity_name="a",
        model=A,
        environment={"KEY": "{{secrets/s/k}}"},
        begun_ms=1,
        generation=1,
        desired=1,
        phase=GroupPhase.CREATING,
        progress=group.progress,
        message="",
        ready_once=False,
        start_ms=0,
        last_request_ms=1,
        replicas=(),
        history=GroupHistory(steps=[DeploymentStep(stage="WAITING", start_time=1)]),
    )
    assert await told(database) == ["group-a", "group-b"]


@pytest.mark.usefixtures("endpoint")
async def test_an_unchanged_model_keeps_its_group_and_the_old_end_after_activation(
    database: Database,
) -> None:
    await begin(database, hosting_version(1, A, B))
    await activate(database)
    await become(database, "group-a", phase=GroupPhase.READY, ready_once=True, replicas=(REPLICA,))
    before = (await read(database)).groups["group-a"]
    await begin(database, hosting_version(2, A, C))
    assert set(await phases(database)) == {"a", "b", "c"}
    await activate(database)
    after = await read(database)
    assert set(after.groups) == {"group-a", "group-c"}
    assert after.groups["group-a"] == before
    assert (await told(database))[-1] == "group-b"


@pytest.mark.usefixtures("endpoint")
async def test_a_new_scale_takes_effect_with_its_version(database: Database) -> None:
    await begin(database, hosting_version(1, A))
    await activate(database)
    await begin(database, hosting_version(2, hosted_model("a", least=2, most=4)))
    assert (await read(database)).groups["group-a"].desired == 1
    await activate(database)
    group = (await read(database)).groups["group-a"]
    assert (group.desired, group.generation, group.model.scale.max_replicas) == (2, 2, 4)


@pytest.mark.usefixtures("endpoint")
async def test_a_failed_version_ends_its_groups_but_not_those_of_the_active_one(
    database: Database,
) -> None:
    await begin(database, hosting_version(1, A))
    await activate(database)
    await become(database, "group-a", phase=GroupPhase.READY)
    await begin(database, hosting_version(2, A, B, C))
    await become(database, "group-b", phase=GroupPhase.FAILED, message="no module")
    await fail(database, "b failed")
    assert await phases(database) == {
        "a": (GroupPhase.READY, 1),
        "b": (GroupPhase.FAILED, 0),
        "c": (GroupPhase.ABORTED, 0),
    }
    found = await read(database)
    assert found.groups["group-b"].message == "no module"
    assert found.groups["group-c"].message == "b failed"
    async with database.read() as session:
        assert set(await groups.read_generations(session)) == {"group-a"}
    # Once more: what failed is tried again, and what is no longer asked for is forgotten.
    await begin(database, hosting_version(3, A, B))
    assert await phases(database) == {"a": (GroupPhase.READY, 1), "b": (GroupPhase.CREATING, 1)}
    assert (await read(database)).groups["group-b"].generation == 3


@pytest.mark.usefixtures("endpoint")
async def test_cancel_and_removal_end_groups(database: Database) -> None:
    await begin(database, hosting_version(1, A))
    await activate(database)
    await begin(database, hosting_version(2, B))
    async with database.write() as transaction:
        await changes.cancel_rollout(transaction, await read(database), 1)
    assert set(await phases(database)) == {"a"}
    assert (await told(database))[-1] == "group-b"
    async with database.write() as transaction:
        await changes.remove(transaction, "e")
    async with database.read() as session:
        assert await groups.load(session, None) == []
    assert (await told(database))[-1] == "group-a"


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("phase", "ready"),
    [
        (GroupPhase.READY, True),
        (GroupPhase.IDLE, True),
        (GroupPhase.RECOVERING, False),
        (GroupPhase.FAILED, False),
    ],
)
async def test_an_endpoint_is_ready_while_its_groups_serve(
    database: Database, phase: GroupPhase, *, ready: bool
) -> None:
    await begin(database, hosting_version(1, A))
    await activate(database)
    await become(database, "group-a", phase=phase)
    assert (await read(database)).ready is ready
