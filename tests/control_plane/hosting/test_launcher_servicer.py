"""Hosted models from the stored version to the worker, with a launcher and a worker by hand."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.hosting import launcher_servicer
from modelplane.control_plane.hosting.pool import LEASE_MS
from modelplane.control_plane.hosting.worker_view import build_group
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.events import read_head
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.hosting.launchers import read_launcher
from modelplane.control_plane.store.hosting.logs import read_log
from modelplane.control_plane.store.states import GroupPhase, LastUpdate, LogKind, Phase
from tests.control_plane.configs import hosted_model, hosting_version
from tests.control_plane.conftest import FakeClock
from tests.control_plane.hosting.sides import (
    REGISTRY,
    FakeLauncher,
    HostSide,
    host_side,
    is_known_as_idle,
    is_settled,
    until,
    wake,
)

A, B = hosted_model("a"), hosted_model("b")


@pytest.fixture
async def side(database: Database, live_clock: FakeClock) -> AsyncIterator[HostSide]:
    async with host_side(database, live_clock) as running_side:
        yield running_side


async def has_phase(side: HostSide, phase: GroupPhase) -> None:
    async def holds() -> bool:
        return (await side.group()).phase is phase

    await until(holds)


async def runs(launcher: FakeLauncher, *groups: str) -> None:
    async def holds() -> bool:
        return launcher.desired is not None and set(launcher.desired) == set(groups)

    await until(holds)


async def has_replicas(launcher: FakeLauncher, count: int) -> None:
    async def holds() -> bool:
        return (launcher.desired or {})["group-a"].replicas == count

    await until(holds)


async def deployed(side: HostSide, backend: str = "local") -> FakeLauncher:
    """Return a launcher that runs an active version of one model."""
    await side.push.follower("w1")
    launcher = await side.launcher(backend=backend)
    await side.deploy(hosting_version(1, A))
    await is_settled(side)
    return launcher


async def leaves(side: HostSide, launcher: FakeLauncher) -> None:
    """End a launcher's stream; return once its lease is known to end soon."""
    launcher.call.cancel()

    async def has_left() -> bool:
        async with side.push.database.read() as session:
            found = await read_launcher(session, "default")
        assert found is not None
        return found.lease_until_ms < side.clock.now_ms + LEASE_MS and not side.launchers.launchers

    await until(has_left)


def reported(group_id: str, progress: pb.GroupProgress.ValueType, text: str) -> pb.GroupReport:
    return pb.GroupReport(group_id=group_id, generation=1, progress=progress, message=text)


async def test_a_version_is_active_once_each_model_has_a_replica(side: HostSide) -> None:
    await side.push.follower("w1")
    launcher = await side.launcher()
    building = reported("group-b", pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT, "installing")
    launcher.says["group-b"] = building
    await side.deploy(hosting_version(1, A, B, TOKEN="plain"))
    await runs(launcher, "group-a", "group-b")
    await has_phase(side, GroupPhase.READY)

    async def is_building() -> bool:
        return (await side.group("group-b")).message == "installing"

    await until(is_building)
    assert (await side.endpoint()).phase is Phase.PREPARING
    assert launcher.desired is not None
    spec = launcher.desired["group-a"]
    assert (spec.endpoint_name, spec.served_entity_name, spec.replicas) == ("name-e", "a", 1)
    assert dict(spec.environment) == {"TOKEN": "plain"}
    del launcher.says["group-b"]
    await launcher.report()
    await is_settled(side)
    record = await side.endpoint()
    assert record.active is not None
    assert record.ready
    async with side.push.database.read() as session:
        found = await read_launcher(session, "default")
    assert found is not None
    assert (found.launcher_id, found.capacity) == ("l1", pb.Capacity(cpus=2))


async def test_a_registrys_credential_goes_with_its_own_models_alone(side: HostSide) -> None:
    await side.push.follower("w1")
    launcher = await side.launcher()
    here, moved, folder = (hosted_model(name) for name in ("here", "moved", "folder"))
    here.source.registry, here.source.uri = REGISTRY.kind, f"{REGISTRY.uri}/"
    # Of the registry that the deployment had before.
    moved.source.registry, moved.source.uri = REGISTRY.kind, "http://former.test:8080"
    await side.deploy(hosting_version(1, here, moved, folder))
    await runs(launcher, "group-here", "group-moved", "group-folder")
    given = {name: spec.model.authorization for name, spec in (launcher.desired or {}).items()}
    assert given == {"group-here": "bearer t", "group-moved": "", "group-folder": ""}


async def test_workers_are_told_of_groups_and_of_nothing_that_is_secret(side: HostSide) -> None:
    await side.launcher()
    worker = await side.push.connect("w1")
    await worker.hello()
    await worker.snapshot()
    await side.deploy(hosting_version(1, A, TOKEN="plain"))
    groups: dict[str, hosting_pb2.ReplicaGroup] = {}
    endpoints: list[EndpointResource] = []
    while not (groups and groups["group-a"].replicas and endpoints):
        delta = (await worker.next()).delta
        assert b"plain" not in delta.SerializeToString()
        groups |= {group.id: group for group in delta.groups}
        endpoints += list(delta.endpoints)
    group = groups["group-a"]
    assert group.phase == hosting_pb2.GROUP_PHASE_READY
    assert (group.replicas[0].concurrency, group.replicas[0].token) == (4, "token")
    assert group.expected_start_ms == 1234
    (entity,) = endpoints[0].hosted
    assert (entity.config_version, entity.served_entity_name, entity.group_id) == (
        1,
        "a",
        "group-a",
    )


async def test_one_failure_fails_the_version_and_aborts_its_siblings(side: HostSide) -> None:
    launcher = await deployed(side)
    for name in ("c", "d"):
        launcher.says[f"group-{name}"] = reported(
            f"group-{name}", pb.GROUP_PROGRESS_FETCHING, "fetching"
        )
    await side.deploy(hosting_version(2, A, hosted_model("c"), hosted_model("d")))
    await runs(launcher, "group-a", "group-c", "group-d")
    failed = reported("group-c", pb.GROUP_PROGRESS_FAILED, "No module named 'x'.")
    launcher.says["group-c"] = failed
    await launcher.report()
    await is_settled(side)
    record = await side.endpoint()
    assert record.last_update is LastUpdate.FAILED
    assert record.last_update_message == "Served entity 'c' failed: No module named 'x'."
    assert record.groups["group-c"].phase is GroupPhase.FAILED
    assert record.groups["group-d"].phase is GroupPhase.ABORTED
    assert "aborted because served entity 'c' failed" in record.groups["group-d"].message
    # What serves goes on.
    await runs(launcher, "group-a")
    assert record.ready
    assert record.groups["group-a"].phase is GroupPhase.READY


async def test_a_cancelled_version_and_a_deleted_endpoint_end_their_groups(side: HostSide) -> None:
    launcher = await deployed(side)
    launcher.says["group-b"] = reported("group-b", pb.GROUP_PROGRESS_FETCHING, "fetching")
    await side.deploy(hosting_version(2, A, B))
    await runs(launcher, "group-a", "group-b")
    async with side.push.database.write() as transaction:
        await changes.cancel_rollout(transaction, await side.endpoint(), 1)
    await runs(launcher, "group-a")
    async with side.push.database.write() as transaction:
        await changes.remove(transaction, "e")
    await runs(launcher)


async def test_a_change_of_traffic_restarts_nothing(side: HostSide) -> None:
    launcher = await deployed(side)
    before = launcher.desired
    await side.deploy(hosting_version(2, A))
    await is_settled(side)
    record = await side.endpoint()
    assert record.active is not None
    assert record.active.version == 2
    assert launcher.desired == before


async def test_another_launcher_waits_and_takes_over(side: HostSide, live_clock: FakeClock) -> None:
    first = await deployed(side)
    second = await side.launcher("l2")
    async with asyncio.timeout(60):
        await second.told.wait()
    assert second.standby_of == "l1"
    second.reports = False
    first.call.cancel()
    live_clock.now_ms += LEASE_MS
    await runs(second, "group-a")
    # It has started nothing yet.
    second.says["group-a"] = reported("group-a", pb.GROUP_PROGRESS_STARTING, "")
    second.reports = True
    await second.report()
    await has_phase(side, GroupPhase.RECOVERING)
    assert not (await side.endpoint()).ready
    second.says.clear()
    await second.report()
    await has_phase(side, GroupPhase.READY)
    assert (await side.endpoint()).ready


async def test_what_a_lost_launcher_ran_is_taken_out(side: HostSide, live_clock: FakeClock) -> None:
    launcher = await deployed(side)
    await leaves(side, launcher)
    await side.scaler.step()
    # It may come back.
    assert (await side.group()).phase is GroupPhase.READY
    live_clock.now_ms += LEASE_MS
    await side.scaler.step()
    group = await side.group()
    assert (group.phase, group.replicas) == (GroupPhase.RECOVERING, ())
    assert not (await side.endpoint()).ready


async def test_what_a_cluster_runs_goes_on_without_its_launcher_for_a_while(
    side: HostSide, live_clock: FakeClock
) -> None:
    launcher = await deployed(side, backend="kubernetes")
    await leaves(side, launcher)
    live_clock.now_ms += 10 * LEASE_MS
    await side.scaler.step()
    group = await side.group()
    assert group.phase is GroupPhase.READY
    assert len(group.replicas) == 1
    live_clock.now_ms += 10 * LEASE_MS
    await side.scaler.step()
    assert (await side.group()).replicas == ()


async def test_a_restart_of_the_control_plane_changes_nothing(
    database: Database, live_clock: FakeClock
) -> None:
    async with host_side(database, live_clock) as side:
        launcher = await deployed(side)
        spec = (launcher.desired or {})["group-a"]
        async with database.read() as session:
            before = await read_head(session)
    # However long it was away, what runs is taken to run until its launcher could be back.
    live_clock.now_ms += 10 * LEASE_MS
    async with host_side(database, live_clock) as side:
        await side.scaler.step()
        assert (await side.group()).phase is GroupPhase.READY
        again = await side.launcher()
        await runs(again, "group-a")
        # It says all that it runs before and after it is told.
        await again.report()
        await side.scaler.step()
        assert (again.desired or {})["group-a"] == spec
        group = await side.group()
        assert (group.phase, len(group.replicas)) == (GroupPhase.READY, 1)
        async with database.read() as session:
            assert await read_head(session) == before


async def test_logs_are_kept_to_their_last_part(side: HostSide) -> None:
    launcher = await deployed(side)
    text = "a" * 300_000 + "end"
    await launcher.report(pb.GroupLog(group_id="group-a", kind=pb.LOG_KIND_SERVICE, text=text))

    async def stored() -> str:
        async with side.push.database.read() as session:
            return await read_log(session, "group-a", LogKind.SERVICE)

    async def is_stored() -> bool:
        return await stored() != ""

    await until(is_stored)
    assert await stored() == text[-256 * 1024 :]


@pytest.mark.parametrize(
    ("pool", "launcher_id", "code"),
    [
        ("other", "l1", grpc.StatusCode.FAILED_PRECONDITION),
        ("default", "", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_who_does_not_fit_is_told_so(
    side: HostSide, pool: str, launcher_id: str, code: grpc.StatusCode
) -> None:
    call = await side.call(launcher_id, pool)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is code


async def test_a_waiting_request_starts_a_group_on_any_replica(
    database: Database, live_clock: FakeClock
) -> None:
    async with host_side(database, live_clock) as side:
        launcher = await deployed(side)
        live_clock.now_ms += 1_800_000

        async def is_idle() -> bool:
            # As each second: what changed while the scaler looked is judged when it looks again.
            await side.scaler.step()
            return (await side.group()).phase is GroupPhase.IDLE

        await until(is_idle)
        await has_replicas(launcher, 0)
        assert (await side.endpoint()).ready
        if not database.is_postgresql:
            await _wake_and_see(side, side, launcher)
            return
        async with host_side(database, live_clock, replica_id="other") as other:
            await _wake_and_see(side, other, launcher)


async def _wake_and_see(side: HostSide, near: HostSide, launcher: FakeLauncher) -> None:
    worker = await near.push.connect("w2")
    await worker.hello()
    await worker.snapshot()
    await is_known_as_idle(near)
    await wake(worker, "group-a")
    await has_replicas(launcher, 1)
    await has_phase(side, GroupPhase.READY)
    generation = (await side.group()).generation
    # One that has been started is not started again.
    await wake(worker, "group-a")
    await worker.ack(near.push.cache.revision)
    await has_phase(side, GroupPhase.READY)
    assert (await side.group()).generation == generation


async def test_what_is_longer_than_a_message_is_told_in_parts(side: HostSide) -> None:
    """References to one long secret suffice: what fits into no message would stop all models."""
    await side.push.follower("w1")
    launcher = await side.launcher()
    names = [f"m{number}" for number in range(6)]
    variables = {f"V{number}": "v" * 100_000 for number in range(30)}
    await side.deploy(hosting_version(1, *map(hosted_model, names), **variables))
    await runs(launcher, *(f"group-{name}" for name in names))
    assert launcher.desired is not None
    assert all(len(spec.environment) == 30 for spec in launcher.desired.values())


async def test_callers_are_told_of_a_failure_without_the_log(side: HostSide) -> None:
    launcher = await deployed(side)
    launcher.fail("group-a", "It has ended.\nThe end of its log:\nthe caller before paid by card")
    await launcher.report()
    await has_phase(side, GroupPhase.FAILED)
    assert "paid by card" in (await side.group()).message
    assert build_group(await side.group()).reason == "It has ended."


async def test_what_engines_say_of_themselves_reaches_the_endpoints_metrics(
    side: HostSide,
) -> None:
    launcher = await deployed(side)
    admin = Principal("1", "admin", admin=True)
    launcher.engine = pb.EngineFigures(requests_running=2, prompt_tokens=100, prefix_cache_hits=7)
    await launcher.report()
    metrics = EndpointMetrics(side.push.database, side.clock)

    async def is_told() -> bool:
        engines = (await metrics.read(admin, "name-e")).engines
        return bool(engines) and engines["a"].running == 2 and engines["a"].counts == [100, 0, 0, 7]

    await until(is_told)


async def test_a_launcher_is_told_while_its_lease_waits_for_the_database(
    side: HostSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_servicer, "_RENEW_SECONDS", 0.05)
    launcher = await deployed(side)
    asked, answered, claim = asyncio.Event(), asyncio.Event(), side.pool.claim

    async def slow_claim(hello: pb.Hello) -> str:
        asked.set()
        await answered.wait()
        return await claim(hello)

    monkeypatch.setattr(side.pool, "claim", slow_claim)
    try:
        await asyncio.wait_for(asked.wait(), 60)
        async with side.push.database.write() as transaction:
            [group] = await groups.lock(transaction, ["group-a"])
            more = replace(group, desired=2, generation=group.generation + 1)
            await groups.save(transaction, [more])
            await groups.tell(transaction, [more])
        await has_replicas(launcher, 2)
    finally:
        answered.set()
