from collections import Counter
from random import Random

import pytest
from modelserving.worker.v1 import hosting_pb2 as pb

from modelplane.data_plane.hosting.balancing import Replica, pick

RANDOM = Random(1)


def replicas(count: int, concurrency: int = 4) -> list[Replica]:
    return [
        Replica(pb.Replica(id=str(number), address=f"r{number}:1", concurrency=concurrency))
        for number in range(count)
    ]


def test_nobody_is_picked_who_has_no_room() -> None:
    one, other = both = replicas(2)
    one.in_flight = 4
    other.in_flight = 1
    assert {pick(both, 0, RANDOM) for _ in range(20)} == {other}
    other.refuse(0, RANDOM)
    other.in_flight = 0
    assert pick(both, 0, RANDOM) is None
    assert pick(both, other.rests_until, RANDOM) is other
    assert pick([], 0, RANDOM) is None


def test_the_less_loaded_of_two_is_picked_whoever_loads_it() -> None:
    one, other = both = replicas(2)
    one.in_flight = other.in_flight = 1
    one.tell(3, now=0)
    assert {pick(both, 0.5, RANDOM) for _ in range(20)} == {other}
    other.in_flight = 3
    one.tell(1, now=0.5)
    assert {pick(both, 0.5, RANDOM) for _ in range(20)} == {one}
    # What was told long ago says nothing of the others any longer.
    other.in_flight = 2
    assert {pick(both, 5, RANDOM) for _ in range(20)} == {one}


def test_a_large_replica_takes_more() -> None:
    one, other = replicas(1, 2)[0], replicas(1, 8)[0]
    one.in_flight, other.in_flight = 1, 2
    assert pick([one, other], 0, RANDOM) is other


def test_each_of_many_is_picked() -> None:
    many = replicas(8, 1000)
    for _ in range(800):
        picked = pick(many, 0, RANDOM)
        assert picked is not None
        picked.in_flight += 1
    counts = Counter(replica.in_flight for replica in many)
    assert all(97 <= count <= 103 for count in counts)


@pytest.mark.parametrize(
    ("seconds", "first", "last"), [(0.0, 0.005, 0.5), (0.008, 0.005, 0.02), (4.0, 0.5, 0.5)]
)
def test_one_that_others_fill_rests_for_longer_each_time(
    seconds: float, first: float, last: float
) -> None:
    [replica] = replicas(1)
    if seconds:
        replica.take(seconds)
    replica.in_flight = 1
    replica.refuse(0, RANDOM)
    assert 0.75 * first <= replica.rests_until <= 1.25 * first
    for _ in range(9):
        replica.refuse(0, RANDOM)
    assert 0.75 * last <= replica.rests_until <= 1.25 * last
    assert not replica.is_out(0)
    replica.take(seconds)
    assert replica.rests_until == 0


def test_one_that_others_fill_gets_fewer_until_there_is_room() -> None:
    [replica] = replicas(1)
    replica.in_flight = 3
    replica.refuse(0, RANDOM)
    replica.in_flight = 2
    # It has room again when one of the two ends, so it does not rest.
    assert pick([replica], 0, RANDOM) is None
    replica.in_flight = 1
    assert pick([replica], 0, RANDOM) is replica
    for load, limit in ((7, 2), (6, 3), (0, 4), (0, 4)):
        replica.tell(load, 0)
        assert replica.limit == limit


def test_one_that_is_lost_rests_longer_and_is_out() -> None:
    [replica] = replicas(1)
    replica.lose(0, RANDOM)
    assert 0.75 <= replica.rests_until <= 1.25
    assert replica.is_out(0)
    assert not replica.is_out(2)
    for _ in range(9):
        replica.lose(0, RANDOM)
    assert 7.5 <= replica.rests_until <= 12.5
    replica.refuse(20, RANDOM)
    assert replica.rests_until <= 20.01
