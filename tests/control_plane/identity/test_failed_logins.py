import pytest
from prometheus_client import CollectorRegistry

from modelplane.control_plane.errors import LoginThrottled
from modelplane.control_plane.identity import failed_logins
from modelplane.control_plane.identity.failed_logins import (
    MAX_FAILURES,
    MAX_FAILURES_OF_CLIENT,
    PAUSE_MS,
    FailedLogins,
)
from tests.control_plane.conftest import FakeClock


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


_ADVICE = "check the secret"


@pytest.fixture
def failed(clock: FakeClock, registry: CollectorRegistry) -> FailedLogins:
    return FailedLogins(clock, registry)


def test_an_address_that_fails_too_often_is_refused_until_some_time_has_passed(
    failed: FailedLogins, clock: FakeClock, registry: CollectorRegistry
) -> None:
    for _ in range(MAX_FAILURES):
        failed.check_address("10.0.0.1", _ADVICE)
        failed.note_failure("10.0.0.1", "app")
    with pytest.raises(LoginThrottled, match=f"from your address have failed; {_ADVICE}"):
        failed.check_address("10.0.0.1", _ADVICE)
    assert registry.get_sample_value("modelplane_logins_throttled_total") == 1
    failed.check_address("10.0.0.2", _ADVICE)
    clock.now_ms += PAUSE_MS
    failed.check_address("10.0.0.1", _ADVICE)
    failed.note_failure("10.0.0.1", "app")
    with pytest.raises(LoginThrottled):
        failed.check_address("10.0.0.1", _ADVICE)
    # A clock that is set back forgives nothing, and delays nothing either.
    clock.now_ms -= 1_000 * PAUSE_MS
    with pytest.raises(LoginThrottled):
        failed.check_address("10.0.0.1", _ADVICE)
    clock.now_ms += PAUSE_MS
    failed.check_address("10.0.0.1", _ADVICE)


def test_so_many_addresses_are_remembered(
    failed: FailedLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_logins, "MAX_ADDRESSES", 2)
    for address in ("a", "b"):
        for _ in range(MAX_FAILURES):
            failed.note_failure(address, "app")
    failed.note_failure("c", "app")
    failed.check_address("a", _ADVICE)
    with pytest.raises(LoginThrottled):
        failed.check_address("b", _ADVICE)


def test_many_addresses_may_not_guess_at_one_client(
    failed: FailedLogins, clock: FakeClock, registry: CollectorRegistry
) -> None:
    failed.note_success("10.0.0.1", "app")
    for number in range(MAX_FAILURES_OF_CLIENT):
        failed.check_client(f"192.0.2.{number}", "app")
        failed.note_failure(f"192.0.2.{number}", "app")
    with pytest.raises(LoginThrottled, match="of this client"):
        failed.check_client("192.0.2.200", "app")
    assert registry.get_sample_value("modelplane_logins_throttled_total") == 1
    # Neither the client itself is held up where it is known, nor another client.
    failed.check_client("10.0.0.1", "app")
    failed.check_client("192.0.2.200", "other")
    clock.now_ms += PAUSE_MS
    failed.check_client("192.0.2.200", "app")


def test_long_names_of_clients_cost_no_memory(failed: FailedLogins) -> None:
    for _ in range(MAX_FAILURES_OF_CLIENT):
        failed.note_failure("10.0.0.1", "a" * 16_000)
    assert max(map(len, failed._of_clients._failed)) <= 64
    with pytest.raises(LoginThrottled):
        failed.check_client("10.0.0.1", "a" * 16_000)
