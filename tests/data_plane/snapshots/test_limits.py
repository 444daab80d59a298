"""Which limits apply to whom."""

from typing import Any

import pytest
from google.protobuf import json_format
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.limit_keys import LIMIT_KEYS, OLD_LIMIT_KEYS
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.limits import Limits, Scope, compile_limits

ALICE = Principal("id-alice", "alice@example.com")
BOB = Principal("id-bob", "bob@example.com", group_ids=("g1", "g2"), group_names=("red", "blue"))
ROBOT = Principal(
    "id-robot", "robot-1", service_principal=True, group_ids=("g1",), group_names=("red",)
)


def compiled(*gateway: dict[str, Any], old: tuple[dict[str, Any], ...] = ()) -> Limits | None:
    minute = {"renewal_period": "minute"}
    message = {
        "id": "e1",
        "rate_limits": [minute | item for item in old],
        "ai_gateway": {"rate_limits": [minute | item for item in gateway]},
    }
    return compile_limits(json_format.ParseDict(message, EndpointResource()))


def named(limits: Limits | None, principal: Principal) -> list[str]:
    """Return whom the limits name that apply."""
    assert limits is not None
    return [rule.principal for alternatives in limits.rules(principal) for rule in alternatives]


def applied(limits: Limits | None, principal: Principal) -> list[list[tuple[str, str, int]]]:
    """Return unit, scope and limit of what applies."""
    assert limits is not None
    return [
        [(rule.unit.value, rule.scope.value, rule.limit) for rule in alternatives]
        for alternatives in limits.rules(principal)
    ]


def test_a_rule_tells_whom_its_limit_names() -> None:
    limits = compiled(
        {"calls": 9},
        {"key": "user", "calls": 1},
        {"key": "user", "principal": "Alice@example.com", "calls": 2},
        {"key": "user_group", "principal": "Red", "calls": 3},
    )
    assert named(limits, ALICE) == ["alice@example.com", ""]
    assert named(limits, BOB) == ["red", ""]
    assert named(limits, Principal("id-eve", "eve@example.com")) == ["", ""]


def test_no_limits_are_none() -> None:
    assert compiled() is None


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (ALICE, [("requests", "user", 10)]),
        (BOB, [("requests", "user_group", 30), ("requests", "user_group", 40)]),
        (Principal("id-eve", "Eve@example.com"), [("requests", "user", 50)]),
        (ROBOT, [("requests", "service_principal", 60)]),
        # A name is one of a user or of a service principal.
        (Principal("x", "eve@example.com", service_principal=True), [("requests", "user", 10)]),
        (
            Principal("x", "eve@example.com", group_ids=("g1",), group_names=("red",)),
            [("requests", "user", 50)],
        ),
    ],
)
def test_a_name_goes_before_the_groups_and_those_before_the_default(
    principal: Principal, expected: list[tuple[str, str, int]]
) -> None:
    limits = compiled(
        {"key": "user", "calls": 10},
        {"key": "user_group", "principal": "blue", "calls": 40},
        {"key": "user_group", "principal": "red", "calls": 30},
        {"key": "user", "principal": "eve@example.com", "calls": 50},
        {"key": "service_principal", "principal": "robot-1", "calls": 60},
        {"key": "endpoint", "calls": 1000},
    )
    assert applied(limits, principal) == [expected, [("requests", "endpoint", 1000)]]


def test_calls_and_tokens_are_decided_separately() -> None:
    limits = compiled(
        {"key": "user", "calls": 10, "tokens": 100},
        {"key": "user", "principal": "alice@example.com", "tokens": 500},
        {"key": "endpoint", "tokens": 9},
    )
    assert applied(limits, ALICE) == [
        [("requests", "user", 10)],
        [("tokens", "user", 500)],
        [("tokens", "endpoint", 9)],
    ]


def test_the_deprecated_limits_count_together_with_those_of_the_gateway() -> None:
    limits = compiled(
        {"key": "endpoint", "calls": 5},
        {"key": "user", "calls": 9},
        old=({"key": "endpoint", "calls": 7}, {"key": "user", "calls": 0}),
    )
    assert applied(limits, ALICE) == [[("requests", "user", 0)], [("requests", "endpoint", 5)]]


def test_who_has_no_limit_of_their_own_has_none() -> None:
    limits = compiled({"key": "user", "principal": "alice@example.com", "calls": 1})
    assert limits is not None
    assert limits.rules(BOB) == ()


def test_counters_are_told_apart_and_kept_whatever_the_limit() -> None:
    def keys(principal: Principal, *gateway: dict[str, Any]) -> list[bytes]:
        limits = compiled(*gateway)
        assert limits is not None
        return [rule.key for alternatives in limits.rules(principal) for rule in alternatives]

    default = {"key": "user", "calls": 10, "tokens": 10}
    named = {"key": "user", "principal": "alice@example.com", "calls": 99, "tokens": 9}
    everyone = {"key": "endpoint", "calls": 5}
    assert keys(ALICE, default) == keys(ALICE, named)
    found = [*keys(ALICE, default, everyone), *keys(BOB, default)]
    assert len(set(found)) == 5
    assert {len(key) for key in found} == {16}
    # The members of a group share its counter.
    group = {"key": "user_group", "principal": "red", "calls": 1}
    assert keys(BOB, group) == keys(ROBOT, group)


def test_every_key_that_the_api_accepts_is_a_scope() -> None:
    assert set(Scope) == set(LIMIT_KEYS)
    assert set(OLD_LIMIT_KEYS) < set(LIMIT_KEYS)
