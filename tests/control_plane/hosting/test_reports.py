"""What becomes of a group by what its launcher says, and what of a version whose groups fail."""

from dataclasses import replace

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1.hosting_pb2 import Replica

from modelplane.control_plane.hosting.deployments import failure_of
from modelplane.control_plane.hosting.reports import (
    after_report,
    with_history,
    without_replicas,
)
from modelplane.control_plane.hosting.worker_view import build_group
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import GroupPhase, GroupStep
from tests.control_plane.configs import hosted_model

REPLICA = Replica(id="r1", address="127.0.0.1:1", concurrency=4, token="t")
NEW = StoredGroup(
    id="g",
    endpoint_id="e",
    served_entity_name="a",
    model=hosted_model("a"),
    environment={},
    begun_ms=1,
    generation=2,
    desired=1,
    phase=GroupPhase.CREATING,
    progress=GroupStep.WAITING,
    message="",
    ready_once=False,
    start_ms=0,
    last_request_ms=1,
    replicas=(),
)
READY = replace(NEW, phase=GroupPhase.READY, ready_once=True, replicas=(REPLICA,))
AT_ZERO = replace(READY, phase=GroupPhase.IDLE, desired=0, replicas=())


def report(
    progress: pb.GroupProgress.ValueType,
    *phases: pb.ReplicaPhase.ValueType,
    generation: int = 2,
    message: str = "",
) -> pb.GroupReport:
    replicas = [
        pb.ReplicaReport(id=f"r{number}", phase=phase, address="127.0.0.1:1", token="t")
        for number, phase in enumerate(phases, 1)
    ]
    return pb.GroupReport(
        group_id="g", generation=generation, progress=progress, replicas=replicas, message=message
    )


def test_what_was_done_until_a_replica_was_ready_is_kept_with_its_times() -> None:
    def told(group: StoredGroup, said: pb.GroupReport, now_ms: int) -> StoredGroup:
        return with_history(group, after_report(group, said), said, now_ms)

    def steps(group: StoredGroup) -> list[tuple[str, float, float]]:
        return [(one.stage, one.start_time, one.end_time) for one in group.history.steps]

    fetching = report(pb.GROUP_PROGRESS_FETCHING)
    begun = told(NEW, fetching, 1_000)
    fetching.done, fetching.total = 25, 100
    going = told(begun, fetching, 3_000)
    assert (going.history.done, going.history.total) == (25, 100)
    # A quarter took two seconds.
    assert going.history.estimated_end_time == 3_000 + 6_000
    # What no share can be is none.
    fetching.done = 101
    assert told(begun, fetching, 3_000).history.total == 0
    starting = told(going, report(pb.GROUP_PROGRESS_STARTING), 5_000)
    assert (starting.history.done, starting.history.estimated_end_time) == (0, 0)
    assert steps(starting) == [("FETCHING", 1_000, 5_000), ("STARTING", 5_000, 0)]
    ready = told(starting, report(pb.GROUP_PROGRESS_READY, pb.REPLICA_PHASE_READY), 9_000)
    assert steps(ready)[-1] == ("STARTING", 5_000, 9_000)
    # It starts again: that is no deployment.
    assert told(ready, report(pb.GROUP_PROGRESS_STARTING), 20_000).history == ready.history
    failed = told(going, report(pb.GROUP_PROGRESS_FAILED, message="no room"), 6_000)
    assert steps(failed) == [("FETCHING", 1_000, 6_000)]
    # One that never comes up fills nothing.
    looping = NEW
    for now_ms in range(100):
        one = pb.GROUP_PROGRESS_STARTING if now_ms % 2 else pb.GROUP_PROGRESS_FETCHING
        looping = told(looping, report(one), now_ms)
    assert len(steps(looping)) == 20


def test_a_start_is_told_step_by_step() -> None:
    building = after_report(
        NEW, report(pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT, message="installing")
    )
    assert (building.phase, building.progress, building.message) == (
        GroupPhase.CREATING,
        GroupStep.BUILDING_ENVIRONMENT,
        "installing",
    )
    converting = after_report(building, report(pb.GROUP_PROGRESS_CONVERTING, message="40 %"))
    assert (converting.progress, converting.message) == (GroupStep.CONVERTING, "40 %")
    ready = after_report(converting, report(pb.GROUP_PROGRESS_READY, pb.REPLICA_PHASE_READY))
    assert ready == READY


def test_only_those_that_are_ready_are_asked() -> None:
    said = report(
        pb.GROUP_PROGRESS_STARTING,
        pb.REPLICA_PHASE_STARTING,
        pb.REPLICA_PHASE_READY,
        pb.REPLICA_PHASE_DRAINING,
    )
    assert [replica.id for replica in after_report(NEW, said).replicas] == ["r2"]


def test_a_failure_counts_unless_it_is_of_before() -> None:
    failed = report(pb.GROUP_PROGRESS_FAILED, message="no module")
    assert after_report(NEW, failed).phase is GroupPhase.FAILED
    assert after_report(NEW, failed).message == "no module"
    old = report(pb.GROUP_PROGRESS_FAILED, generation=1, message="no module")
    assert after_report(NEW, old) == NEW
    assert after_report(READY, old).phase is GroupPhase.RECOVERING
    # What still answers is not cut off.
    partly = report(pb.GROUP_PROGRESS_FAILED, pb.REPLICA_PHASE_READY)
    assert after_report(READY, partly).phase is GroupPhase.READY


def test_one_that_lost_all_recovers_and_one_at_zero_sleeps() -> None:
    starting = report(pb.GROUP_PROGRESS_STARTING, pb.REPLICA_PHASE_STARTING)
    assert after_report(READY, starting).phase is GroupPhase.RECOVERING
    woken = replace(AT_ZERO, desired=1)
    assert after_report(woken, starting).phase is GroupPhase.IDLE
    # It is to be at zero: those that have not ended yet are asked no more.
    late = report(pb.GROUP_PROGRESS_READY, pb.REPLICA_PHASE_READY)
    assert after_report(AT_ZERO, late) == AT_ZERO
    assert without_replicas(READY).phase is GroupPhase.RECOVERING
    for group in (NEW, AT_ZERO):
        assert without_replicas(group) == group


def test_what_was_given_up_stays_so() -> None:
    ended = replace(NEW, phase=GroupPhase.ABORTED, desired=0)
    assert after_report(ended, report(pb.GROUP_PROGRESS_READY, pb.REPLICA_PHASE_READY)) == ended


@pytest.mark.parametrize(
    ("group", "phase"),
    [
        (NEW, hosting_pb2.GROUP_PHASE_STARTING),
        (READY, hosting_pb2.GROUP_PHASE_READY),
        (AT_ZERO, hosting_pb2.GROUP_PHASE_IDLE),
        (replace(AT_ZERO, desired=1), hosting_pb2.GROUP_PHASE_STARTING),
        (replace(NEW, phase=GroupPhase.FAILED), hosting_pb2.GROUP_PHASE_FAILED),
        (without_replicas(READY), hosting_pb2.GROUP_PHASE_STARTING),
    ],
)
def test_workers_learn_what_to_do_with_a_request(
    group: StoredGroup, phase: hosting_pb2.GroupPhase.ValueType
) -> None:
    assert build_group(group).phase == phase


def test_a_version_fails_by_a_failure_or_by_time() -> None:
    assert failure_of([NEW, READY], late=False) is None
    message = "no module\nThe end of its log:\na word of the model"
    failed = replace(NEW, phase=GroupPhase.FAILED, message=message)
    by_failure = failure_of([NEW, failed], late=False)
    assert by_failure is not None
    assert by_failure.reason == "Served entity 'a' failed: no module"
    building = replace(NEW, progress=GroupStep.BUILDING_ENVIRONMENT)
    by_time = failure_of([building, READY], late=True)
    assert by_time is not None
    assert "its environment was still being built" in by_time.reason
    assert "aborted because the endpoint update timed out" in by_time.aborted
    # One that failed long after it was ready is no matter of a new version.
    assert failure_of([READY], late=True) is None
