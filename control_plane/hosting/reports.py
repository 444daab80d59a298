"""What a launcher's report makes of a group. Pure. Before: `pool`, `scaling`."""

from dataclasses import replace

from modelserving.launcher.v1 import launcher_service_pb2 as launcher_pb
from modelserving.launcher.v1.launcher_service_pb2 import GroupReport
from modelserving.store.v1.rollouts_pb2 import GroupHistory
from modelserving.worker.v1.hosting_pb2 import Replica

from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import WAITING, GroupPhase, GroupStep

_STEPS = {
    launcher_pb.GROUP_PROGRESS_FETCHING: GroupStep.FETCHING,
    launcher_pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT: GroupStep.BUILDING_ENVIRONMENT,
    launcher_pb.GROUP_PROGRESS_CONVERTING: GroupStep.CONVERTING,
    launcher_pb.GROUP_PROGRESS_STARTING: GroupStep.STARTING,
}
# A message is for people, and in every answer that shows the endpoint.
_MAX_MESSAGE = 2_000
_MAX_STEPS = 20


def after_report(group: StoredGroup, report: GroupReport) -> StoredGroup:
    """Return the group as it is by what its launcher says of it."""
    if group.has_ended:
        return group
    # One that is to be at zero is asked no more, though its replicas may not have ended yet.
    replicas = _ready(group, report) if group.desired else ()
    seen = replace(
        group,
        replicas=replicas,
        progress=_STEPS.get(report.progress, GroupStep.WAITING),
        message=report.message[:_MAX_MESSAGE],
        ready_once=group.ready_once or bool(replicas),
        start_ms=report.start_ms or group.start_ms,
    )
    # What failed before the group was changed last is tried again.
    gave_up = report.progress == launcher_pb.GROUP_PROGRESS_FAILED
    if gave_up and report.generation >= group.generation and not replicas:
        return replace(seen, phase=GroupPhase.FAILED, progress=GroupStep.WAITING)
    phase = _phase(seen)
    if phase is GroupPhase.READY or gave_up:
        seen = replace(seen, message="", progress=GroupStep.WAITING)
    return replace(seen, phase=phase)


def with_history(
    old: StoredGroup, new: StoredGroup, report: GroupReport, now_ms: int
) -> StoredGroup:
    """Return a group with what was done for it until a first replica was ready.

    Args:
        old: What was known of it.
        new: What it is by the report.
        report: How far its launcher says that it is.
        now_ms: The time.
    """
    if old.ready_once:
        return new
    history = GroupHistory(steps=new.history.steps)
    stage = (new.progress or WAITING) if new.phase is GroupPhase.CREATING else ""
    if not history.steps or history.steps[-1].stage != stage:
        if history.steps and not history.steps[-1].HasField("end_time"):
            history.steps[-1].end_time = now_ms
        if stage:
            history.steps.add(stage=stage, start_time=now_ms)
        del history.steps[:-_MAX_STEPS]
    if stage and 0 <= report.done <= report.total > 0:
        history.done, history.total = report.done, report.total
        spent_ms = now_ms - history.steps[-1].start_time
        if spent_ms > 0 and report.done:
            left = (report.total - report.done) / report.done
            history.estimated_end_time = round(now_ms + spent_ms * left)
    return replace(new, history=history)


def without_replicas(group: StoredGroup) -> StoredGroup:
    """Return the group as it is once nothing runs for it."""
    if group.phase in (GroupPhase.FAILED, GroupPhase.ABORTED):
        return replace(group, replicas=())
    gone = replace(group, replicas=())
    return replace(gone, phase=_phase(gone))


def _phase(group: StoredGroup) -> GroupPhase:
    if group.replicas:
        return GroupPhase.READY
    if not group.ready_once:
        return GroupPhase.CREATING
    if group.desired == 0 or group.phase is GroupPhase.IDLE:
        return GroupPhase.IDLE
    return GroupPhase.RECOVERING


def _ready(group: StoredGroup, report: GroupReport) -> tuple[Replica, ...]:
    ready = [
        Replica(
            id=replica.id,
            address=replica.address,
            concurrency=group.model.size.concurrency,
            token=replica.token,
            certificate=replica.certificate,
        )
        for replica in report.replicas
        if replica.phase == launcher_pb.REPLICA_PHASE_READY
    ]
    return tuple(sorted(ready, key=lambda replica: replica.id))
