"""Pure rules for rate limits, guardrails and the rest of the AI Gateway.

Before: `setting_changes`, `lifecycle`. After: `payload_tables`. Beside: `validation`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.ai_gateway_pb2 import (
    AiGatewayConfig,
    AiGatewayRateLimit,
)
from modelserving.v1.endpoint_pb2 import RateLimit
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy

from modelplane.adapters.shared import guardrail_rules
from modelplane.adapters.shared.guardrail_rules import (
    NO_JUDGES,
    DefaultJudges,
    PolicyRefused,
    asks_of_safety,
    asks_of_topics,
    check_sides,
)
from modelplane.adapters.shared.limit_keys import LIMIT_KEYS, OLD_LIMIT_KEYS
from modelplane.control_plane.endpoints import payload_tables
from modelplane.control_plane.errors import InvalidParameter

# Every worker holds the settings.
MAX_GATEWAY_BYTES = 64 * 1024
MAX_LIMITS = 20
# Up to here JSON's numbers are exact for every client.
MAX_AMOUNT = 2**53 - 1
MAX_GROUP_LIMITS = 5
MAX_RETRIES = 5
MIN_TIMEOUT_SECONDS = 0.1
MAX_TIMEOUT_SECONDS = 3600.0

_KEYS_WITH_PRINCIPAL = ("user_group", "service_principal")


def build_rate_limits(given: Iterable[RateLimit]) -> list[RateLimit]:
    """Return the deprecated rate limits with their defaults.

    Raises:
        InvalidParameter: One is incomplete or wrong, or two have the same key.
    """
    limits = [_build_rate_limit(limit) for limit in given]
    for key, count in Counter(limit.key for limit in limits).items():
        if count > 1:
            raise InvalidParameter(
                f"rate_limits has {count} limits with the key '{key}'; keep one of them."
            )
    return limits


def build_ai_gateway(
    given: AiGatewayConfig, *, tables: bool, judges: DefaultJudges = NO_JUDGES
) -> AiGatewayConfig | None:
    """Return the AI Gateway settings as they are given, None where nothing is set.

    Defaults stay unsaid: tools that keep endpoints as files would take them for changes by others.

    Args:
        given: What the caller sends.
        tables: Whether the deployment writes payload tables.
        judges: Who judges where the settings do not say who.

    Raises:
        InvalidParameter: They break a rule.
    """
    if given == AiGatewayConfig():
        return None
    if (size := given.ByteSize()) > MAX_GATEWAY_BYTES:
        raise InvalidParameter(
            f"ai_gateway has {size} bytes; at most {MAX_GATEWAY_BYTES} are allowed. Shorten its "
            "texts."
        )
    gateway = AiGatewayConfig()
    gateway.CopyFrom(given)
    if gateway.HasField("fallback_config") and not gateway.fallback_config.HasField("enabled"):
        raise InvalidParameter("ai_gateway.fallback_config.enabled is required; set it.")
    _check_upstream_rules(gateway)
    if gateway.HasField("guardrails"):
        _check_guardrails(gateway, judges)
    if gateway.HasField("inference_table_config"):
        payload_tables.check(gateway.inference_table_config, available=tables)
    for limit in gateway.rate_limits:
        _check_gateway_limit(limit)
    _check_gateway_limits(gateway.rate_limits)
    return gateway


def build_policies(given: Sequence[GuardrailPolicy]) -> list[GuardrailPolicy]:
    """Return guardrail policies with their defaults, ordered by rank.

    Raises:
        InvalidParameter: One breaks a rule.
    """
    try:
        return guardrail_rules.build_policies(given)
    except PolicyRefused as error:
        raise InvalidParameter(str(error)) from None


def _build_rate_limit(given: RateLimit) -> RateLimit:
    if not given.HasField("calls"):
        raise InvalidParameter("rate_limits: calls is required; set the number of requests.")
    _check_amount("calls", given.calls, "rate_limits")
    key = given.key or "endpoint"
    if key not in OLD_LIMIT_KEYS:
        raise InvalidParameter(
            f"rate_limits: key '{key}' is unknown; use 'endpoint' or 'user', or set limits of "
            "other kinds in ai_gateway."
        )
    _check_period(given.renewal_period, "rate_limits")
    return RateLimit(calls=given.calls, key=key, renewal_period=given.renewal_period)


def _check_period(period: str, where: str) -> None:
    if period != "minute":
        found = f" '{period}' is unknown" if period else " is required"
        raise InvalidParameter(f"{where}: renewal_period{found}; use 'minute'.")


def _check_upstream_rules(gateway: AiGatewayConfig) -> None:
    retries = gateway.retry_config.max_retries
    if not 0 <= retries <= MAX_RETRIES:
        raise InvalidParameter(
            f"ai_gateway.retry_config.max_retries is {retries}; use 0 to {MAX_RETRIES}."
        )
    timeout = gateway.timeout_config
    for name in ("first_byte_seconds", "idle_seconds"):
        seconds = getattr(timeout, name)
        # The comparison is written so that NaN is refused.
        if timeout.HasField(name) and not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
            raise InvalidParameter(
                f"ai_gateway.timeout_config.{name} is {seconds:g}; use "
                f"{MIN_TIMEOUT_SECONDS:g} to {MAX_TIMEOUT_SECONDS:g} seconds."
            )


def _check_guardrails(gateway: AiGatewayConfig, judges: DefaultJudges) -> None:
    guardrails = gateway.guardrails
    try:
        check_sides(guardrails)
    except PolicyRefused as error:
        raise InvalidParameter(str(error)) from None
    if guardrails.HasField("judge"):
        return
    asked = (
        ("safety", asks_of_safety(guardrails), judges.safety, "SAFETY"),
        ("valid_topics", asks_of_topics(guardrails), judges.topics, "TOPICS"),
    )
    for name, is_set, judge, setting in asked:
        if is_set and judge is None:
            raise InvalidParameter(
                f"ai_gateway.guardrails: '{name}' needs a judge, of which there is none; "
                "name an endpoint in ai_gateway.guardrails.judge, or let the operator set "
                f"MODELPLANE_{setting}_JUDGE."
            )


def check_countable(gateway: AiGatewayConfig, hosted: Iterable[HostedModel]) -> None:
    """Check that limits on tokens count something: a model without a task reports none.

    Args:
        gateway: The settings, with their defaults.
        hosted: The models of a configuration that are hosted here; empty: they are elsewhere.

    Raises:
        InvalidParameter: They would never hold.
    """
    models = list(hosted)
    if not models or any(model.description.task for model in models):
        return
    if any(limit.HasField("tokens") for limit in gateway.rate_limits):
        raise InvalidParameter(
            "ai_gateway.rate_limits limits tokens, and the endpoint's models have no task and so "
            "report none; limit calls, or log the models with a task (metadata={'task': …})."
        )


def _key(limit: AiGatewayRateLimit) -> str:
    return limit.key or "endpoint"


def _check_gateway_limit(limit: AiGatewayRateLimit) -> None:
    where = "ai_gateway.rate_limits"
    key = _key(limit)
    if key not in LIMIT_KEYS:
        raise InvalidParameter(
            f"{where}: key '{key}' is unknown; use one of {', '.join(LIMIT_KEYS)}."
        )
    _check_period(limit.renewal_period, where)
    _check_amounts(limit, where)
    if key in _KEYS_WITH_PRINCIPAL and not limit.principal:
        raise InvalidParameter(f"{where}: a limit with the key '{key}' needs a principal; set it.")
    if key == "endpoint" and limit.principal:
        raise InvalidParameter(
            f"{where}: a limit with the key 'endpoint' is for all callers; remove the principal "
            "or change the key."
        )


def _check_amounts(limit: AiGatewayRateLimit, where: str) -> None:
    amounts = [name for name in ("calls", "tokens") if limit.HasField(name)]
    if not amounts:
        raise InvalidParameter(f"{where}: a limit needs calls, tokens or both; set one.")
    for name in amounts:
        _check_amount(name, getattr(limit, name), where)


def _check_amount(name: str, amount: float, where: str) -> None:
    # The comparison is written so that NaN is refused.
    if not (0 <= amount <= MAX_AMOUNT and amount.is_integer()):
        raise InvalidParameter(
            f"{where}: {name} is {amount:.17g}; it must be a whole number from 0, which refuses "
            f"all, to {MAX_AMOUNT}."
        )


def _check_gateway_limits(limits: Iterable[AiGatewayRateLimit]) -> None:
    counted = Counter(
        (_key(limit), limit.principal, name)
        for limit in limits
        for name in ("calls", "tokens")
        if limit.HasField(name)
    )
    for (key, principal, name), count in counted.items():
        if count > 1:
            whose = f"{key} {principal}" if principal else key
            raise InvalidParameter(
                f"ai_gateway.rate_limits limits {name} {count} times for {whose}; keep one of them."
            )
    keys = [_key(limit) for limit in limits]
    if len(keys) > MAX_LIMITS or keys.count("user_group") > MAX_GROUP_LIMITS:
        raise InvalidParameter(
            f"ai_gateway.rate_limits has too many limits; at most {MAX_LIMITS}, and at most "
            f"{MAX_GROUP_LIMITS} of them with the key 'user_group', are allowed."
        )
