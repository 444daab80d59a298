"""The words that columns hold, and that the rest of the control plane knows.

Used by `tables` and by whoever asks the store.
"""

from enum import StrEnum


class EventKind(StrEnum):
    """What an event row is about."""

    ENDPOINT = "endpoint"
    TOKEN = "token"  # noqa: S105 - the word, not a credential
    PRINCIPAL = "principal"
    ISSUER = "issuer"
    GROUP = "group"


class ChangeKind(StrEnum):
    """What became of an endpoint, for those who look at it."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    # Of many endpoints: those that serve, since a worker came or the last one went.
    MANY = "MANY"


class Phase(StrEnum):
    """Where the rollout of an endpoint's pending version stands (design: prepare, activate)."""

    SETTLED = ""
    PREPARING = "preparing"
    ACTIVATING = "activating"


class Outcome(StrEnum):
    """What became of a version."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUPERSEDED = "SUPERSEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class LastUpdate(StrEnum):
    """How the last update of an endpoint ended; while a phase runs, it is in progress."""

    NOT_UPDATING = "NOT_UPDATING"
    FAILED = "UPDATE_FAILED"
    CANCELED = "UPDATE_CANCELED"


class UsageState(StrEnum):
    """What is known of a query."""

    RUNNING = "RUNNING"
    ENDED = "ENDED"
    # The worker died before it could say how it ended.
    UNKNOWN = "UNKNOWN"


class GroupPhase(StrEnum):
    """What a group of replicas is for those who look at its endpoint."""

    # None of its replicas has been ready yet.
    CREATING = "CREATING"
    READY = "READY"
    # At zero replicas by intent, or starting from there.
    IDLE = "IDLE"
    # It was ready, has lost its replicas, and gets others.
    RECOVERING = "RECOVERING"
    FAILED = "FAILED"
    # Given up before it was ready, since another group of the same version failed.
    ABORTED = "ABORTED"


class GroupStep(StrEnum):
    """What a launcher does for a group that is not ready."""

    # No launcher has said anything of it yet.
    WAITING = ""
    FETCHING = "FETCHING"
    BUILDING_ENVIRONMENT = "BUILDING_ENVIRONMENT"
    CONVERTING = "CONVERTING"
    STARTING = "STARTING"


# What `GroupStep.WAITING` is called for those who look.
WAITING = "WAITING"


class LogKind(StrEnum):
    """Which log of a group."""

    BUILD = "BUILD"
    SERVICE = "SERVICE"


class TotalState(StrEnum):
    """What tells of a period."""

    # Its queries: they have changed since it was looked at, or it was not yet.
    CHANGED = "CHANGED"
    # Its queries, which are hardly more than their totals would be.
    QUERIES = "QUERIES"
    # Its totals.
    TOTALS = "TOTALS"
