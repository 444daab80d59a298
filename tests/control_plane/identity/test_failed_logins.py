import pytest
from prometheus_client import CollectorRegistry

from modelplane.control_plane.errors import LoginThrottled
from modelplane.control_plane.identity import failed_logins
from modelplane.control_plane.identity.failed_logins import MAX_FAILURES, PAUSE_MS, FailedLogins
from tests.control_plane.conftest import FakeClock


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def failed(clock: FakeClock, registry: CollectorRegistry) -> FailedLogins:
    return FailedLogins(clock, registry)


def test_an_address_that_fails_too_often_is_refused_until_some_time_has_passed(
    failed: FailedLogins, clock: FakeClock, registry: CollectorRegistry
) -> None:
    for _ in range(MAX_FAILURES):
        failed.check("10.0.0.1")
        failed.note("10.0.0.1")
    with pytest.raises(LoginThrottled, match="from your address"):
        failed.check("10.0.0.1")
    assert registry.get_sample_value("modelplane_logins_throttled_total") == 1
    failed.check("10.0.0.2")
    clock.now_ms += PAUSE_MS
    failed.check("10.0.0.1")
    failed.note("10.0.0.1")
    with pytest.raises(LoginThrottled):
        failed.check("10.0.0.1")
    clock.now_ms -= 10 * PAUSE_MS
    with pytest.raises(LoginThrottled):
        failed.check("10.0.0.1")


def test_so_many_addresses_are_remembered(
    failed: FailedLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_logins, "MAX_ADDRESSES", 2)
    for address in ("a", "b"):
        for _ in range(MAX_FAILURES):
            failed.note(address)
    failed.note("c")
    failed.check("a")
    with pytest.raises(LoginThrottled):
        failed.check("b")
