import pytest

from modelplane.data_plane.snapshots.readiness import Readiness
from tests.data_plane.fakes import FakeClock


@pytest.fixture
def readiness(clock: FakeClock) -> Readiness:
    ready = Readiness(clock)
    ready.applied(5)
    return ready


def run(readiness: Readiness, clock: FakeClock, seconds: float) -> None:
    """Let time pass in a process that runs."""
    for _ in range(round(seconds / 0.25)):
        clock.now += 0.25
        readiness.tick()


def test_a_worker_without_configuration_is_not_ready(clock: FakeClock) -> None:
    ready = Readiness(clock)
    ready.heard(5)
    assert not ready.serving()
    ready.applied(5)
    assert ready.serving()


def test_a_worker_that_stays_behind_is_not_ready(readiness: Readiness, clock: FakeClock) -> None:
    readiness.heard(6)
    run(readiness, clock, 2)
    assert readiness.serving()
    readiness.heard(7)
    run(readiness, clock, 0.25)
    assert not readiness.serving()
    readiness.applied(6)
    assert not readiness.serving()
    readiness.applied(7)
    assert readiness.serving()


def test_an_unreachable_control_plane_is_no_reason_to_stop(
    readiness: Readiness, clock: FakeClock
) -> None:
    readiness.heard(6)
    readiness.unreachable()
    run(readiness, clock, 3600)
    assert readiness.serving()


def test_a_worker_that_was_stopped_waits_for_news(readiness: Readiness, clock: FakeClock) -> None:
    clock.now += 10
    assert not readiness.serving()
    clock.now += 0.05
    readiness.heard(5)
    assert not readiness.serving(), "this message may have waited in a buffer"
    clock.now += 0.5
    readiness.heard(5)
    assert readiness.serving()


def test_a_message_may_be_the_first_thing_after_a_stop(
    readiness: Readiness, clock: FakeClock
) -> None:
    clock.now += 10
    readiness.heard(5)
    assert not readiness.serving()


def test_a_worker_that_was_stopped_goes_on_without_control_plane(
    readiness: Readiness, clock: FakeClock
) -> None:
    clock.now += 10
    readiness.tick()
    assert not readiness.serving()
    readiness.unreachable()
    assert readiness.serving()


def test_a_new_stream_after_a_stop_is_given_time_to_catch_up(
    readiness: Readiness, clock: FakeClock
) -> None:
    clock.now += 10
    readiness.tick()
    clock.now += 0.2
    readiness.connected()
    readiness.heard(6)
    readiness.applied(6)
    assert not readiness.serving(), "more changes may follow"
    clock.now += 0.2
    readiness.heard(7)
    readiness.applied(7)
    assert readiness.serving()


def test_another_store_starts_its_revisions_anew(readiness: Readiness, clock: FakeClock) -> None:
    readiness.heard(100)
    readiness.restarted(3)
    run(readiness, clock, 10)
    assert readiness.serving()


def test_draining_is_final(readiness: Readiness) -> None:
    readiness.drain()
    readiness.applied(9)
    readiness.unreachable()
    assert not readiness.serving()


@pytest.mark.parametrize(("busy", "serving"), [(3.0, True), (0.5, True), (0.01, False)])
def test_a_worker_that_was_busy_is_slow_and_not_stopped(
    clock: FakeClock, busy: float, *, serving: bool
) -> None:
    cpu = FakeClock()
    ready = Readiness(clock, cpu)
    ready.applied(5)
    clock.now += 3
    cpu.now += busy
    assert ready.serving() is serving
    clock.now += 3
    assert not ready.serving()
