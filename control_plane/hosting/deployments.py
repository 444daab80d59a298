"""Whether the hosted models of a version can no longer be deployed. Pure.

Before: `snapshots.rollout_driver`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import GroupPhase, GroupStep

_STEPS = {
    GroupStep.WAITING: "no launcher has begun with it: is one running?",
    GroupStep.FETCHING: "it was still being fetched.",
    GroupStep.BUILDING_ENVIRONMENT: "its environment was still being built.",
    GroupStep.CONVERTING: "its weights were still being converted.",
    GroupStep.STARTING: "it was still starting.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version cannot be deployed.

    Attributes:
        reason: What has failed, for the person who made the version.
        aborted: What is told of the entities that did not fail themselves.
    """

    reason: str
    aborted: str


def failure_of(groups: Sequence[StoredGroup], *, late: bool) -> Failure | None:
    """Return why a version's groups cannot be deployed; None: they can, or are.

    Args:
        groups: The groups.
        late: Each should have had a replica by now.
    """
    unready = sorted(
        (group for group in groups if not group.ready_once),
        key=lambda group: group.served_entity_name,
    )
    failed = [group for group in unready if group.phase is GroupPhase.FAILED]
    if failed:
        first = failed[0]
        reason = first.message.partition("\n")[0]
        name = f"Served entity '{first.served_entity_name}'"
        return Failure(
            # Without the end of its log, which is for those who manage the endpoint.
            f"{name} failed: {reason}",
            f"Served entity creation aborted because served entity '{first.served_entity_name}' "
            "failed.",
        )
    if late and unready:
        first = unready[0]
        return Failure(
            f"Served entity '{first.served_entity_name}' was not ready in time: "
            f"{_STEPS[first.progress]} Please see build and service logs for more information.",
            "Served model creation aborted because the endpoint update timed out. Please see "
            "service logs for more information.",
        )
    return None
