"""What can go wrong at a provider, classified by status and typed error body, never by wording.

AdapterError                 a call to a provider failed
├── RequestRefused           the provider refused the caller's request: final
│   ├── ModelNotFound        it knows no such model or deployment
│   └── RequestConflict      it says the request collides with another one
├── CredentialRefused        it refused the endpoint's credential
├── RateLimited              too many requests or tokens for now
├── QuotaExhausted           the account is out of budget; waiting does not help
├── ProviderFailed           it failed inside
│   └── MalformedAnswer      it answered something that is not an answer
├── ProviderUnavailable      it is overloaded, or cannot be reached
│   └── StreamTruncated      its stream ended before the answer did
├── ProviderTimeout          it did not answer in time
└── ProviderNotImplemented   no adapter exists yet
ConfigRefused                an adapter cannot be built from its configuration
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import ceil
from typing import ClassVar

_MAX_RETRY_AFTER_SECONDS = 3600


class ConfigRefused(Exception):
    """An adapter cannot be built from its configuration; the text is for its author."""


class AdapterError(Exception):
    """A call to a provider failed.

    Its text names provider and class only, since `detail` may repeat the prompt.

    Attributes:
        retryable: The same served entity may be tried again.
        fallback: Another served entity may be tried.
        provider: Provider called.
        detail: What the provider said, JSON or text, without credentials.
        retry_after: Seconds after which the provider wants to be asked again, where it said so.
    """

    retryable: ClassVar[bool] = False
    fallback: ClassVar[bool] = False

    def __init__(self, provider: str, detail: object, retry_after: int | None = None) -> None:
        super().__init__(f"{provider}: {type(self).__name__}")
        self.provider = provider
        self.detail = detail
        self.retry_after = retry_after


class RequestRefused(AdapterError):
    """The provider refused the caller's request."""


class ModelNotFound(RequestRefused):
    """The provider knows no such model or deployment."""

    fallback = True


class RequestConflict(RequestRefused):
    """The provider says that the request collides with another one."""

    retryable = True
    fallback = True


class CredentialRefused(AdapterError):
    """The provider refused the endpoint's credential."""

    fallback = True


class RateLimited(AdapterError):
    """Too many requests or tokens for now."""

    retryable = True
    fallback = True


class QuotaExhausted(AdapterError):
    """The account is out of budget."""

    fallback = True


class ProviderFailed(AdapterError):
    """The provider failed inside."""

    retryable = True
    fallback = True


class MalformedAnswer(ProviderFailed):
    """The provider answered something that is not an answer."""


class ProviderUnavailable(AdapterError):
    """The provider is overloaded or cannot be reached."""

    retryable = True
    fallback = True


class StreamTruncated(ProviderUnavailable):
    """The provider's stream ended before the answer did."""


class ProviderTimeout(AdapterError):
    """The provider did not answer in time."""

    retryable = True
    fallback = True


class ProviderNotImplemented(AdapterError):
    """No adapter exists yet for the provider."""

    fallback = True


_BY_STATUS: Mapping[int, type[AdapterError]] = {
    401: CredentialRefused,
    403: CredentialRefused,
    404: ModelNotFound,
    408: ProviderTimeout,
    409: RequestConflict,
    429: RateLimited,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimeout,
    529: ProviderUnavailable,
}
_FIRST_CLIENT_ERROR = 400
_FIRST_SERVER_ERROR = 500


def classify(status: int) -> type[AdapterError]:
    """Return the class of a failed answer by its HTTP status."""
    if known := _BY_STATUS.get(status):
        return known
    if _FIRST_CLIENT_ERROR <= status < _FIRST_SERVER_ERROR:
        return RequestRefused
    # A redirect is not followed: it would carry the credential to a host nobody configured.
    return ProviderFailed if status >= _FIRST_SERVER_ERROR else MalformedAnswer


def parse_retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds a provider asks to wait, rounded up; None where it names none.

    Args:
        headers: Response headers, looked up in lower case. A date is read against the `date`
            header of the same answer, so that clocks need not agree.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (seconds := _number(headers.get(name))) is not None:
            return _bounded(seconds / 1000)
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    try:
        until = parsedate_to_datetime(value or "") - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
    return _bounded(until.total_seconds())


def _number(value: str | None) -> float | None:
    try:
        return float(value or "")
    except ValueError:
        return None


def _bounded(seconds: float) -> int:
    # The comparison is written so that NaN falls to the lower bound.
    return ceil(min(seconds, _MAX_RETRY_AFTER_SECONDS)) if seconds > 1 else 1
