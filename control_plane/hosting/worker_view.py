"""From a stored group to what workers are told of it. Before: `snapshots.builder`."""

from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1.hosting_pb2 import ReplicaGroup

from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import GroupPhase

# Requests that one worker may hold of a group: bursts at a model that starts, and no more than are
# answered within the time that they may wait.
_MAX_WAITING = 1_000


def build_group(group: StoredGroup) -> ReplicaGroup:
    """Return what workers are told of a group."""
    failed = group.phase in (GroupPhase.FAILED, GroupPhase.ABORTED)
    return ReplicaGroup(
        id=group.id,
        phase=_phase(group, failed=failed),
        replicas=group.replicas,
        expected_start_ms=group.start_ms,
        # Callers are told why, and not what the model has printed, which follows.
        reason=group.message.partition("\n")[0] if failed else "",
        max_waiting=_MAX_WAITING,
    )


def _phase(group: StoredGroup, *, failed: bool) -> hosting_pb2.GroupPhase.ValueType:
    if group.replicas:
        return hosting_pb2.GROUP_PHASE_READY
    if failed:
        return hosting_pb2.GROUP_PHASE_FAILED
    if group.desired == 0:
        return hosting_pb2.GROUP_PHASE_IDLE
    return hosting_pb2.GROUP_PHASE_STARTING
