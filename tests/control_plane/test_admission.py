from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from modelplane.control_plane import admission as admission_module
from modelplane.control_plane.admission import Admission
from modelplane.control_plane.errors import Overloaded, TooManyCalls
from modelplane.control_plane.principal import Principal

ALICE, BOB = Principal("a", "alice", admin=True), Principal("b", "bob")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def admission(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> Admission:
    monkeypatch.setattr(admission_module, "MAX_CALLS", 3)
    monkeypatch.setattr(admission_module, "MAX_CALLS_OF_ONE", 2)
    return Admission(registry)


def test_calls_beyond_the_bound_are_refused_and_those_that_end_make_room(
    admission: Admission, registry: CollectorRegistry
) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.one())
        assert registry.get_sample_value("modelplane_control_plane_calls") == 3
        with pytest.raises(Overloaded), admission.one():
            pass
    assert registry.get_sample_value("modelplane_control_plane_calls") == 0
    with admission.one():
        pass


def test_a_caller_has_a_bound_of_their_own_and_administrators_have_none(
    admission: Admission,
) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.of(BOB))
        with pytest.raises(TooManyCalls, match="2 of your calls"), admission.of(BOB):
            pass
        for _ in range(5):
            stack.enter_context(admission.of(ALICE))
        with admission.of(Principal("c", "carol")):
            pass
    with pytest.raises(ZeroDivisionError), admission.of(BOB):
        raise ZeroDivisionError
    with admission.of(BOB), admission.of(BOB):
        pass
