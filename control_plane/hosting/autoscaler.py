"""How many replicas a group should have. Pure. Before: `scaling`."""

import math
from dataclasses import dataclass

# Share of its concurrency that a replica is to be busy with.
_TARGET = 0.7


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds of a group.

    Attributes:
        least: Fewest replicas while there is demand, at least one.
        most: Most replicas.
        scale_to_zero: Whether there may be none while there is no demand.
        concurrency: Requests that a replica answers at a time.
        down_ms: How long fewer must do before there are fewer.
        zero_ms: How long there must be no request before there is no replica.
    """

    least: int
    most: int
    scale_to_zero: bool
    concurrency: int
    down_ms: int
    zero_ms: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What all workers ask of a group.

    Attributes:
        in_flight: Requests at its replicas now.
        waiting: Requests that no replica has taken yet.
        mean: Both together, on average over the last minute.
    """

    in_flight: float
    waiting: int
    mean: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """Where a group stands.

    Attributes:
        desired: Replicas that there should be.
        needed_ms: When so many were needed last.
        last_request_ms: When the last request was heard of.
    """

    desired: int
    needed_ms: int
    last_request_ms: int


def desired(policy: Policy, demand: Demand, now_ms: int, last: Scaling) -> int:
    """Return how many replicas there should be from now on."""
    is_idle = demand.waiting == 0 and demand.in_flight == 0
    since_request_ms = now_ms - last.last_request_ms
    if (
        policy.scale_to_zero
        and is_idle
        and (last.desired == 0 or since_request_ms >= policy.zero_ms)
    ):
        return 0
    wanted = needed(policy, demand)
    if wanted >= last.desired or now_ms - last.needed_ms >= policy.down_ms:
        return wanted
    # Never beyond what a new version allows.
    return min(last.desired, policy.most)


def needed(policy: Policy, demand: Demand) -> int:
    """Return how many the last minute's demand needs, and that of now while anything waits."""
    load = demand.mean
    if demand.waiting:
        load = max(load, demand.in_flight + demand.waiting)
    wanted = math.ceil(load / (_TARGET * policy.concurrency))
    return min(max(wanted, policy.least), policy.most)
