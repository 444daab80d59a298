"""How many replicas a group should have. Pure. Before: `scaling`."""

import math
from dataclasses import dataclass

# Share of its concurrency that a replica is to be busy with.
_TARGET = 0.7
# What is this little beyond whole chunks needs no other replica.
_TOLERANCE = 0.05


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
        chunk: Tokens that a replica does in a second, where that is what is provisioned; 0: the
            requests are counted.
    """

    least: int
    most: int
    scale_to_zero: bool
    concurrency: int
    down_ms: int
    zero_ms: int
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What all workers ask of a group.

    Attributes:
        in_flight: Requests at its replicas now.
        waiting: Requests that no replica has taken yet.
        mean: Both together, on average over the last minute.
        tokens: Tokens that come in a second, on average over the last minute.
        tokens_now: Likewise, over the last seconds.
    """

    in_flight: float
    waiting: int
    mean: float
    tokens: float = 0.0
    tokens_now: float = 0.0


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
    wanted = _by_tokens(policy, demand) if policy.chunk else _by_requests(policy, demand)
    return min(max(wanted, policy.least), policy.most)


def _by_requests(policy: Policy, demand: Demand) -> int:
    load = demand.mean
    if demand.waiting:
        load = max(load, demand.in_flight + demand.waiting)
    return math.ceil(load / (_TARGET * policy.concurrency))


def _by_tokens(policy: Policy, demand: Demand) -> int:
    if not demand.waiting:
        return math.ceil(demand.tokens / policy.chunk - _TOLERANCE)
    tokens = max(demand.tokens, demand.tokens_now)
    # Where as many wait as are answered, a replica does less than it should.
    behind = math.ceil((demand.in_flight + demand.waiting) / (2 * policy.concurrency))
    return max(behind, math.ceil(tokens / policy.chunk - _TOLERANCE))
