"""Pure rules for rate limits, guardrails and the rest of the AI Gateway. Each fills in defaults.

Before: `setting_changes`, `lifecycle`. After: `payload_tables`. Beside: `validation`.
"""

from collections import Counter
from collections.abc import Iterable

from modelserving.v1.ai_gateway_pb2 import (
    AiGatewayConfig,
    AiGatewayRateLimit,
    GuardrailParameters,
)
from modelserving.v1.endpoint_pb2 import RateLimit

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
PII_BEHAVIORS = ("NONE", "BLOCK", "MASK")
MAX_KEYWORDS = 200
MAX_KEYWORD_CHARACTERS = 256
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
    given: AiGatewayConfig, endpoint: str, *, tables: bool
) -> AiGatewayConfig | None:
    """Return the AI Gateway settings with their defaults, None where nothing is set.

    Args:
        given: What the caller sends.
        endpoint: Name of the endpoint.
        tables: Whether the deployment writes payload tables.

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
    for side in ("input", "output"):
        _check_guardrails(getattr(gateway.guardrails, side), f"ai_gateway.guardrails.{side}")
    if gateway.HasField("inference_table_config"):
        guarded = gateway.guardrails.HasField("input")
        table = gateway.inference_table_config
        payload_tables.complete(table, endpoint, available=tables, guarded=guarded)
    for limit in gateway.rate_limits:
        _complete_gateway_limit(limit)
    _check_gateway_limits(gateway.rate_limits)
    return gateway


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


def _check_guardrails(checks: GuardrailParameters, where: str) -> None:
    behavior = checks.pii.behavior
    if checks.pii.HasField("behavior") and behavior not in PII_BEHAVIORS:
        raise InvalidParameter(
            f"{where}.pii.behavior '{behavior[:200]}' is unknown; use one of "
            f"{', '.join(PII_BEHAVIORS)}."
        )
    if (count := len(checks.invalid_keywords)) > MAX_KEYWORDS:
        raise InvalidParameter(
            f"{where}.invalid_keywords has {count} keywords; at most {MAX_KEYWORDS} are allowed."
        )
    for word in checks.invalid_keywords:
        if not any(character.isprintable() and not character.isspace() for character in word):
            raise InvalidParameter(
                f"{where}.invalid_keywords has a blank keyword, which every text would hold; "
                "remove it."
            )
        if len(word) > MAX_KEYWORD_CHARACTERS:
            raise InvalidParameter(
                f"{where}.invalid_keywords has a keyword of {len(word)} characters; at most "
                f"{MAX_KEYWORD_CHARACTERS} are allowed."
            )


def _complete_gateway_limit(limit: AiGatewayRateLimit) -> None:
    where = "ai_gateway.rate_limits"
    limit.key = limit.key or "endpoint"
    if limit.key not in LIMIT_KEYS:
        raise InvalidParameter(
            f"{where}: key '{limit.key}' is unknown; use one of {', '.join(LIMIT_KEYS)}."
        )
    _check_period(limit.renewal_period, where)
    _check_amounts(limit, where)
    if limit.key in _KEYS_WITH_PRINCIPAL and not limit.principal:
        raise InvalidParameter(
            f"{where}: a limit with the key '{limit.key}' needs a principal; set it."
        )
    if limit.key == "endpoint" and limit.principal:
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
        (limit.key, limit.principal, name)
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
    keys = [limit.key for limit in limits]
    if len(keys) > MAX_LIMITS or keys.count("user_group") > MAX_GROUP_LIMITS:
        raise InvalidParameter(
            f"ai_gateway.rate_limits has too many limits; at most {MAX_LIMITS}, and at most "
            f"{MAX_GROUP_LIMITS} of them with the key 'user_group', are allowed."
        )
