from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.upstreams.circuit import Circuit, Circuits
from tests.data_plane.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def circuit(clock: FakeClock) -> Circuit:
    return Circuit(clock, Random(1), 5)


def open_it(circuit: Circuit) -> None:
    while not circuit.open:
        assert circuit.admit() == 0
        circuit.fail()


def test_it_opens_after_failures_in_a_row(circuit: Circuit) -> None:
    changes = []
    for _ in range(5):
        assert circuit.admit() == 0
        changes.append(circuit.fail())
    assert changes == [False] * 4 + [True]
    assert circuit.open
    assert 1 <= circuit.admit() <= 2.5


def test_it_opens_when_half_of_the_calls_fail(circuit: Circuit) -> None:
    calls = 0
    while not circuit.open:
        circuit.admit()
        if calls % 2:
            circuit.fail()
        else:
            circuit.succeed()
        calls += 1
    assert calls == 20


def test_it_stays_closed_while_most_calls_succeed(circuit: Circuit) -> None:
    for call in range(1000):
        assert circuit.admit() == 0
        if call % 3:
            circuit.succeed()
        else:
            circuit.fail()
    assert not circuit.open


def test_failures_long_ago_are_forgotten(circuit: Circuit, clock: FakeClock) -> None:
    for _ in range(100):
        circuit.admit()
        circuit.fail()
        clock.now += 61
    assert not circuit.open


def test_it_may_be_told_never_to_open(clock: FakeClock) -> None:
    circuit = Circuit(clock, Random(1), 0)
    for _ in range(1000):
        assert circuit.admit() == 0
        circuit.fail()
    assert not circuit.open


def test_one_probe_at_a_time_goes_through_and_closes_it(circuit: Circuit, clock: FakeClock) -> None:
    open_it(circuit)
    clock.now += 3
    assert circuit.admit() == 0
    assert circuit.admit() >= 1
    assert circuit.succeed()
    assert not circuit.open
    assert circuit.admit() == 0


def test_a_probe_that_fails_makes_it_rest_longer(circuit: Circuit, clock: FakeClock) -> None:
    open_it(circuit)
    rests = []
    for _ in range(8):
        clock.now += circuit.admit()
        assert circuit.admit() == 0
        assert not circuit.fail()
        rests.append(circuit.admit())
    assert rests[0] < rests[1] < rests[2]
    assert max(rests) <= 30 * 1.25


def test_a_probe_that_tells_nothing_makes_room_for_the_next(
    circuit: Circuit, clock: FakeClock
) -> None:
    open_it(circuit)
    clock.now += 3
    assert circuit.admit() == 0
    circuit.release()
    assert circuit.admit() == 0


def test_a_call_that_began_before_it_opened_changes_nothing(circuit: Circuit) -> None:
    circuit.admit()
    open_it(circuit)
    rest = circuit.admit()
    assert not circuit.fail()
    assert circuit.admit() == rest


@given(st.integers(1, 500), st.floats(0, 100))
def test_retries_are_a_small_part_of_the_calls(calls: int, seconds: float) -> None:
    clock = FakeClock()
    circuit = Circuit(clock, Random(1), 5)
    retries = 0
    for _ in range(calls):
        clock.now += seconds / calls
        assert circuit.admit() == 0
        circuit.succeed()
        while circuit.take_retry():
            retries += 1
    assert retries <= 3 + calls * 0.1 + seconds * 0.1 + 1e-6


def test_an_open_circuit_allows_no_retry(circuit: Circuit) -> None:
    open_it(circuit)
    assert not circuit.take_retry()


def test_the_same_upstream_has_the_same_circuit(clock: FakeClock) -> None:
    circuits = Circuits(clock, Random(1))
    assert circuits.find(b"one") is circuits.find(b"one")
    assert circuits.find(b"one") is not circuits.find(b"two")


def test_circuits_are_bounded_in_number(clock: FakeClock) -> None:
    circuits = Circuits(clock, Random(1))
    first = circuits.find(b"first")
    for number in range(10_000):
        circuits.find(str(number).encode())
    assert circuits.find(b"first") is not first
