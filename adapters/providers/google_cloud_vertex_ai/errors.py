"""Google's error bodies, classified by status, code and typed details.

API: https://cloud.google.com/apis/design/errors. A failed stream without `alt=sse`, and some
failed ones with it, wrap the object in a list. Used by all adapters of this folder.
"""

from collections.abc import Iterator, Mapping

from modelplane.adapters.providers.canonical.json_values import load_json, parse_error_detail
from modelplane.adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    ProviderUnavailable,
    QuotaExhausted,
    classify,
    parse_retry_after,
)
from modelplane.adapters.providers.types import HttpAnswer, JsonObject

_CANCELLED = 499
_QUOTA_REASONS = frozenset({"BILLING_DISABLED", "BILLING_STATE_INACTIVE", "CREDITS_EXHAUSTED"})
_STATUSES: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_STATUS_CODES = range(400, 600)


def parse_object(provider: str, data: bytes) -> JsonObject:
    """Return the JSON object in an answer or event.

    Raises:
        AdapterError: It is none, or it reports an error.
    """
    try:
        value = load_json(data)
    except ValueError:
        raise MalformedAnswer(provider, "the provider's answer is not JSON") from None
    if _error(value) is not None:
        raise build_error(provider, value)
    if not isinstance(value, dict):
        raise MalformedAnswer(provider, "the provider's answer is not a JSON object")
    return value


def parse_failure(provider: str, answer: HttpAnswer) -> AdapterError:
    """Return the error in a failed response; `provider` is the name that it carries."""
    return build_error(provider, parse_error_detail(answer), answer)


def build_error(provider: str, detail: object, answer: HttpAnswer | None = None) -> AdapterError:
    """Return the error that a body reports.

    Args:
        provider: Name that the error carries.
        detail: The body.
        answer: The failed response; None where the body came with status 200.
    """
    error = _error(detail) or {}
    status = _status(error) if answer is None else answer.status
    cls = classify(status)
    if status == _CANCELLED:
        cls = ProviderUnavailable
    if any(str(item.get("reason")) in _QUOTA_REASONS for item in _details(error)):
        cls = QuotaExhausted
    told = parse_retry_after(answer.headers) if answer else None
    return cls(provider, detail, told or _retry_delay(error))


def _error(value: object) -> JsonObject | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else None


def _status(error: JsonObject) -> int:
    code = error.get("code")
    if isinstance(code, int) and code in _STATUS_CODES:
        return code
    return _STATUSES.get(str(error.get("status")), 500)


def _details(error: JsonObject) -> Iterator[JsonObject]:
    details = error.get("details")
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict):
            yield item


def _retry_delay(error: JsonObject) -> int | None:
    """Return the seconds in a `RetryInfo`, whose delay is written as `3.5s`."""
    for item in _details(error):
        delay = item.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return parse_retry_after({"retry-after": delay[:-1]})
    return None
