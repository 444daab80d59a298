"""The state of each served entity: of what workers apply, and of what runs hosted models.

Before: `views`. After: `store.endpoints.records`, `store.hosting.groups` (what is stored).
"""

from collections.abc import Mapping
from types import MappingProxyType

from modelserving.v1.endpoint_pb2 import DeploymentProgress, DeploymentState

from modelplane.control_plane.principal import Level
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import (
    WAITING,
    GroupPhase,
    GroupStep,
    Outcome,
    Phase,
)

_READY = DeploymentState(deployment="DEPLOYMENT_READY")
_CREATING = DeploymentState(
    deployment="DEPLOYMENT_CREATING",
    deployment_state_message="Waiting for the workers to apply the configuration.",
)
_STOPPED = DeploymentState(
    deployment="DEPLOYMENT_STOPPED",
    deployment_state_message="Stopped; start the endpoint with config:start.",
)
_AT_ZERO = "Scaled to zero"
_WORDS: Mapping[GroupPhase, str] = MappingProxyType(
    {
        GroupPhase.CREATING: _CREATING.deployment,
        GroupPhase.READY: _READY.deployment,
        GroupPhase.IDLE: _READY.deployment,
        GroupPhase.RECOVERING: "DEPLOYMENT_RECOVERING",
        GroupPhase.FAILED: "DEPLOYMENT_FAILED",
        GroupPhase.ABORTED: "DEPLOYMENT_ABORTED",
    }
)
# The first is what the mirrored service says, whatever it does.
_STEPS: Mapping[GroupStep, str] = MappingProxyType(
    {
        GroupStep.WAITING: "Creating resources for served entity.",
        GroupStep.FETCHING: "Fetching the model from the registry.",
        GroupStep.BUILDING_ENVIRONMENT: "Building the environment of the model.",
        GroupStep.CONVERTING: "Converting the weights of the model for its engine.",
        GroupStep.STARTING: "Starting the model.",
    }
)


def active_states(record: StoredEndpoint, active: StoredVersion) -> Mapping[str, DeploymentState]:
    """Return the states of the entities that serve, or did until they were stopped, by name."""
    if record.stopped:
        return dict.fromkeys(_names(active), _STOPPED)
    if record.refusal or not active.hosted:
        return dict.fromkeys(_names(active), _active_state(record))
    return _group_states(record, active, _CREATING)


def pending_states(record: StoredEndpoint, pending: StoredVersion) -> Mapping[str, DeploymentState]:
    """Return the states of the entities that are rolled out, or failed to be, by name."""
    if record.phase is not Phase.SETTLED:
        return _group_states(record, pending, _CREATING)
    state = _state_after(pending.outcome, pending.outcome_message)
    if state is None:
        return {}
    return _group_states(record, pending, state)


def past_states(version: StoredVersion) -> Mapping[str, DeploymentState]:
    """Return the states of the entities of a version in its history, by name."""
    state = _state_after(version.outcome, version.outcome_message)
    return {} if state is None else dict.fromkeys(_names(version), state)


def as_seen(states: Mapping[str, DeploymentState], level: Level) -> Mapping[str, DeploymentState]:
    """Return states without the ends of logs, which only those see who may read the logs."""
    if level is Level.CAN_MANAGE:
        return states
    return {
        name: DeploymentState(
            deployment=state.deployment,
            deployment_state_message=state.deployment_state_message.partition("\n")[0],
            progress=state.progress if state.HasField("progress") else None,
        )
        for name, state in states.items()
    }


def deployment_of(phase: GroupPhase) -> str:
    """Return what the API calls a phase."""
    return _WORDS[phase]


def _group_states(
    record: StoredEndpoint, version: StoredVersion, otherwise: DeploymentState
) -> Mapping[str, DeploymentState]:
    """Return the states of what runs each entity; `otherwise` where nothing of ours does."""
    states = dict.fromkeys(_names(version), otherwise)
    for model in version.hosted:
        if group := record.groups.get(model.group_id):
            states[model.served_entity_name] = _state_of(group)
    return states


def _state_of(group: StoredGroup) -> DeploymentState:
    message = group.message
    match group.phase:
        case GroupPhase.CREATING:
            message = f"{_STEPS[group.progress]} {message}".strip()
        case GroupPhase.READY:
            message = ""
        case GroupPhase.IDLE:
            message = _AT_ZERO
    state = DeploymentState(deployment=_WORDS[group.phase], deployment_state_message=message)
    if group.phase is GroupPhase.CREATING:
        state.progress.CopyFrom(_progress_of(group))
    return state


def _progress_of(group: StoredGroup) -> DeploymentProgress:
    history = group.history
    progress = DeploymentProgress(stage=group.progress or WAITING)
    if history.steps and history.steps[-1].stage == progress.stage:
        progress.start_time = history.steps[-1].start_time
        if history.total:
            progress.done, progress.total = history.done, history.total
        if history.estimated_end_time:
            progress.estimated_end_time = history.estimated_end_time
    return progress


def _active_state(record: StoredEndpoint) -> DeploymentState:
    if record.refusal:
        deployment = _READY.deployment if record.ready else "DEPLOYMENT_FAILED"
        return DeploymentState(deployment=deployment, deployment_state_message=record.refusal)
    return _READY if record.ready else _CREATING


def _state_after(outcome: Outcome, message: str) -> DeploymentState | None:
    match outcome:
        case Outcome.ACTIVE:
            return _READY
        case Outcome.PENDING:
            return _CREATING
        case Outcome.FAILED:
            return DeploymentState(deployment="DEPLOYMENT_FAILED", deployment_state_message=message)
        case Outcome.CANCELED:
            return DeploymentState(deployment="DEPLOYMENT_ABORTED")
        case Outcome.SUPERSEDED:
            return None


def _names(version: StoredVersion) -> list[str]:
    return [entity.name for entity in version.config.served_entities]
