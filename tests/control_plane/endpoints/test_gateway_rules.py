import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import RateLimit

from modelplane.control_plane.endpoints.gateway_rules import (
    MAX_GATEWAY_BYTES,
    build_ai_gateway,
    build_rate_limits,
)
from modelplane.control_plane.errors import InvalidParameter

MINUTE: dict[str, object] = {"renewal_period": "minute"}


def limits(*items: dict[str, object]) -> list[RateLimit]:
    return [json_format.ParseDict(item, RateLimit()) for item in items]


def build(given: AiGatewayConfig) -> AiGatewayConfig | None:
    return build_ai_gateway(given, tables=True)


def gateway(**fields: object) -> AiGatewayConfig:
    return json_format.ParseDict(fields, AiGatewayConfig())


def test_a_limit_counts_the_endpoint_unless_it_says_otherwise() -> None:
    built = build_rate_limits(limits({"calls": 0, **MINUTE}, {"calls": 9, "key": "user", **MINUTE}))
    assert [(limit.calls, limit.key, limit.renewal_period) for limit in built] == [
        (0, "endpoint", "minute"),
        (9, "user", "minute"),
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([MINUTE], "calls is required"),
        ([{"calls": -1, **MINUTE}], "calls is -1; it must be a whole number from 0"),
        ([{"calls": 1.5, **MINUTE}], "calls is 1.5; it must be a whole number"),
        ([{"calls": 2**53, **MINUTE}], "calls is 9007199254740992; it must be"),
        ([{"calls": "NaN", **MINUTE}], "calls is nan"),
        ([{"calls": 1}], "renewal_period is required; use 'minute'"),
        ([{"calls": 1, "renewal_period": "hour"}], "renewal_period 'hour' is unknown"),
        ([{"calls": 1, "key": "team", **MINUTE}], "key 'team' is unknown"),
        ([{"calls": 1, **MINUTE}, {"calls": 2, "key": "endpoint", **MINUTE}], "2 limits"),
    ],
)
def test_limits_that_are_refused(bad: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        build_rate_limits(limits(*bad))


def test_an_empty_gateway_is_none() -> None:
    assert build(AiGatewayConfig()) is None


def test_a_gateway_gets_its_defaults() -> None:
    given = gateway(
        usage_tracking_config={"enabled": True},
        rate_limits=[{"calls": 1, "tokens": 100, **MINUTE}],
        fallback_config={"enabled": False},
        retry_config={"max_retries": 0},
        timeout_config={"first_byte_seconds": 30, "idle_seconds": 0.5},
        guardrails={"input": {"pii": {"behavior": "MASK"}, "invalid_keywords": ["a b"]}},
    )
    before = AiGatewayConfig()
    before.CopyFrom(given)
    built = build(given)
    assert built is not None
    assert built == given == before


def guarded(**checks: object) -> dict[str, object]:
    return {"guardrails": {"input": checks}}


LIMIT_CASES: list[tuple[list[dict[str, object]], str]] = [
    ([MINUTE], "needs calls, tokens or both"),
    ([{"tokens": -1, **MINUTE}], "tokens is -1"),
    ([{"tokens": 0.5, **MINUTE}], "tokens is 0.5"),
    ([{"calls": 1}], "renewal_period is required"),
    ([{"calls": 1, "renewal_period": "day"}], "'day' is unknown"),
    ([{"calls": 1, "key": "team", **MINUTE}], "key 'team' is unknown"),
    ([{"calls": 1, "key": "user_group", **MINUTE}], "needs a principal"),
    ([{"calls": 1, "key": "service_principal", **MINUTE}], "needs a principal"),
    ([{"calls": 1, "principal": "bob", **MINUTE}], "is for all callers"),
    ([{"calls": 1, **MINUTE}, {"calls": 2, **MINUTE}], "limits calls 2 times for endpoint"),
    (
        [{"tokens": 1, "key": "user", "principal": "bob", **MINUTE}] * 2,
        "limits tokens 2 times for user bob",
    ),
    (
        [{"calls": 1, "key": "user", "principal": f"u{n}", **MINUTE} for n in range(21)],
        "at most 20",
    ),
    (
        [{"calls": 1, "key": "user_group", "principal": f"g{n}", **MINUTE} for n in range(6)],
        "at most 5",
    ),
]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(({"rate_limits": bad}, message) for bad, message in LIMIT_CASES),
        ({"fallback_config": {}}, "fallback_config.enabled is required"),
        ({"retry_config": {"max_retries": -1}}, "max_retries is -1; use 0 to 5"),
        ({"retry_config": {"max_retries": 6}}, "max_retries is 6; use 0 to 5"),
        ({"timeout_config": {"first_byte_seconds": 0}}, "first_byte_seconds is 0; use 0.1 to"),
        ({"timeout_config": {"idle_seconds": 9999}}, "idle_seconds is 9999; use 0.1 to 3600"),
        ({"timeout_config": {"idle_seconds": "NaN"}}, "idle_seconds is nan"),
        (
            guarded(pii={"behavior": "mask"}),
            "input.pii.behavior 'mask' is unknown; use one of NONE",
        ),
        (guarded(pii={"behavior": ""}), "input.pii.behavior '' is unknown"),
        (guarded(invalid_keywords=["a"] * 201), "201 keywords; at most 200"),
        (guarded(invalid_keywords=["a", "\u200b "]), "a blank keyword"),
        (guarded(invalid_keywords=["x" * 257]), "257 characters; at most 256"),
    ],
)
def test_gateways_that_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        build(gateway(**fields))


def test_calls_and_tokens_may_be_limited_apart() -> None:
    given = gateway(rate_limits=[{"calls": 1, **MINUTE}, {"tokens": 5, **MINUTE}])
    built = build(given)
    assert built is not None
    assert len(built.rate_limits) == 2


def test_settings_are_no_longer_than_workers_can_be_sent() -> None:
    limit = {"key": "user", "principal": "x" * MAX_GATEWAY_BYTES, "calls": 1, **MINUTE}
    with pytest.raises(InvalidParameter, match=f"at most {MAX_GATEWAY_BYTES} are allowed"):
        build(gateway(rate_limits=[limit]))


def test_a_table_is_refused_where_none_are_written() -> None:
    table = {"catalog_name": "main", "schema_name": "logs", "enabled": True}
    with pytest.raises(InvalidParameter, match=r"install 'modelplane\[tables\]'"):
        build_ai_gateway(gateway(inference_table_config=table), tables=False)
    off = gateway(inference_table_config=table | {"enabled": False})
    assert build_ai_gateway(off, tables=False) == off
    on = gateway(inference_table_config=table)
    assert build(on) == on
