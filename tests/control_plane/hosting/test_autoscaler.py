"""How many replicas there should be, whatever is asked."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.hosting.autoscaler import Demand, Policy, Scaling, desired

DOWN, ZERO = 300_000, 1_800_000
POLICY = Policy(least=1, most=4, scale_to_zero=True, concurrency=4, down_ms=DOWN, zero_ms=ZERO)
IDLE = Demand(in_flight=0, waiting=0, mean=0)


def last(count: int, *, needed_ms: int = 0, last_request_ms: int = 0) -> Scaling:
    return Scaling(count, needed_ms, last_request_ms)


def test_what_waits_is_served_at_once() -> None:
    burst = Demand(in_flight=4, waiting=4, mean=0.1)
    assert desired(POLICY, burst, 1, last(1)) == 3
    assert desired(POLICY, Demand(0, 1, 0), 1, last(0)) == 1
    assert desired(replace(POLICY, least=2), Demand(0, 1, 0), 1, last(0)) == 2


def test_what_is_busy_with_more_than_its_target_gets_another() -> None:
    assert desired(POLICY, Demand(2.8, 0, 2.8), 1, last(1)) == 1
    assert desired(POLICY, Demand(2.9, 0, 2.9), 1, last(1)) == 2
    # A moment is no minute.
    assert desired(POLICY, Demand(4, 0, 1), 1, last(1)) == 1


def test_tokens_are_served_by_whole_chunks() -> None:
    policy = replace(POLICY, chunk=80)
    assert desired(policy, Demand(9, 0, 9, tokens=80), 1, last(1)) == 1
    # A little more is within what was measured.
    assert desired(policy, Demand(4, 0, 4, tokens=83), 1, last(1)) == 1
    assert desired(policy, Demand(4, 0, 4, tokens=100), 1, last(1)) == 2
    assert desired(policy, Demand(4, 0, 4, tokens=900), 1, last(1)) == 4
    # The last seconds count while anything waits.
    assert desired(policy, Demand(4, 0, 4, tokens_now=200), 1, last(1)) == 1
    assert desired(policy, Demand(4, 1, 4, tokens_now=200), 1, last(1)) == 3
    # What waits is served where replicas do less than they should.
    assert desired(policy, Demand(4, 4, 4, tokens=40), 1, last(1)) == 1
    assert desired(policy, Demand(4, 5, 4, tokens=40), 1, last(1)) == 2


def test_there_are_fewer_after_a_while_only() -> None:
    little = Demand(1, 0, 1)
    assert desired(POLICY, little, DOWN - 1, last(3)) == 3
    assert desired(POLICY, little, DOWN, last(3)) == 1
    assert desired(replace(POLICY, most=2), little, 1, last(3)) == 2


def test_zero_comes_after_a_while_without_a_request() -> None:
    assert desired(POLICY, IDLE, ZERO - 1, last(1)) == 1
    assert desired(POLICY, IDLE, ZERO, last(1)) == 0
    assert desired(POLICY, IDLE, ZERO, last(1, last_request_ms=1)) == 1
    assert desired(POLICY, IDLE, ZERO, last(0)) == 0
    assert desired(replace(POLICY, scale_to_zero=False), IDLE, ZERO, last(1)) == 1
    assert desired(replace(POLICY, scale_to_zero=False), IDLE, ZERO, last(0)) == 1


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    least = draw(st.integers(1, 8))
    return Policy(
        least=least,
        most=draw(st.integers(least, 16)),
        scale_to_zero=draw(st.booleans()),
        concurrency=draw(st.integers(1, 16)),
        down_ms=draw(st.integers(0, DOWN)),
        zero_ms=draw(st.integers(0, ZERO)),
        chunk=draw(st.integers(0, 100)),
    )


loads = st.floats(0, 1_000, allow_nan=False)
demands = st.builds(
    Demand,
    in_flight=loads,
    waiting=st.integers(0, 1_000),
    mean=loads,
    # More was given back than was taken, perhaps.
    tokens=st.floats(-1_000, 1_000),
    tokens_now=st.floats(-1_000, 1_000),
)
scalings = st.builds(Scaling, st.integers(0, 16), st.integers(0, ZERO), st.integers(0, ZERO))


@given(policies(), demands, st.integers(0, 2 * ZERO), scalings)
def test_bounds_hold_whatever_is_asked(
    policy: Policy, demand: Demand, now_ms: int, before: Scaling
) -> None:
    count = desired(policy, demand, now_ms, before)
    assert count <= policy.most
    assert count >= policy.least or count == 0
    if count == 0:
        assert policy.scale_to_zero
        assert demand.in_flight == demand.waiting == 0
        assert before.desired == 0 or now_ms - before.last_request_ms >= policy.zero_ms


@given(policies(), demands, st.integers(0, 2 * ZERO), scalings, st.integers(1, 100))
def test_more_demand_never_means_fewer(
    policy: Policy, demand: Demand, now_ms: int, before: Scaling, more: int
) -> None:
    greater = replace(demand, waiting=demand.waiting + more, mean=demand.mean + more)
    assert desired(policy, greater, now_ms, before) >= desired(policy, demand, now_ms, before)


@given(policies(), demands, st.integers(0, 2 * ZERO), st.integers(1, 16))
def test_it_rests_once_it_is_reached(
    policy: Policy, demand: Demand, now_ms: int, count: int
) -> None:
    before = Scaling(count, now_ms, now_ms)
    first = desired(policy, demand, now_ms, before)
    assert desired(policy, demand, now_ms, replace(before, desired=first)) == first
