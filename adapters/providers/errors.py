"""What can go wrong at a provider, and whose matter it is: upstream, account, request or answer.

Classified by status and typed error body, never by wording; the one exception is Anthropic's, which
gives an account's matters the type of a request's (`anthropic/provider.py`).

| class                    | says                               | again | other | circuit | billed |
|--------------------------|------------------------------------|-------|-------|---------|--------|
| `ProviderUnavailable`    | overloaded, or cannot be reached   | yes   | yes   | yes     | no     |
| ├ `HostUnresolved`       | its name has no address            | no    | yes   | no      | no     |
| ├ `OutOfFiles`           | the gateway may open no more files | yes   | no    | no      | no     |
| └ `StreamTruncated`      | its stream ended before the answer | yes   | yes   | yes     | no     |
| `ProviderTimeout`        | it did not answer in time          | yes   | yes   | yes     | no     |
| `ProviderFailed`         | it failed inside                   | yes   | yes   | yes     | no     |
| `RateLimited`            | too much for now                   | yes   | yes   | no      | no     |
| `QuotaExhausted`         | the account is out of budget       | no    | yes   | no      | no     |
| `CredentialRefused`      | it refused the endpoint's key      | no    | yes   | no      | no     |
| `CredentialUnavailable`  | none can be had for it now         | yes   | yes   | no      | no     |
| `RequestRefused`         | it refused the caller's request    | no    | no    | no      | no     |
| ├ `ImageRefused`         | an image's URL does not do         | no    | no    | no      | no     |
| ├ `ModelNotFound`        | it knows no such model             | no    | yes   | no      | no     |
| └ `RequestConflict`      | it collides with another request   | yes   | yes   | no      | no     |
| `UnusableAnswer`         | the model wrote what is no answer  | once  | yes   | no      | yes    |
| ├ `MalformedAnswer`      | the answer's form is not known     | no    | yes   | no      | yes    |
| └ `NoAnswer`             | what came is no answer to the task | no    | yes   | no      | yes    |
| `ProviderNotImplemented` | no adapter exists yet              | no    | yes   | no      | no     |

`again`: the same served entity is asked once more; `other`: another one may be; `circuit`: it
counts for the upstream's circuit. An answer that would be the same the next time is not asked for
again, and only what says something about the upstream counts for its circuit: one conversation must
not close it to all others. `ConfigRefused` is apart: no adapter can be built of a configuration.
"""

from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from math import ceil
from typing import ClassVar, Self

import orjson

from modelplane.adapters.providers.types import NestedTooDeeply, Usage

_MAX_RETRY_AFTER_SECONDS = 3600
_CONCEALED = "[redacted]"


class ConfigRefused(Exception):
    """An adapter cannot be built from its configuration; the text is for its author."""


class AdapterError(Exception):
    """A call to a provider failed.

    Its text names provider and class only, since `detail` may repeat the prompt.

    Attributes:
        retryable: The same served entity may be tried again.
        fallback: Another served entity may be tried.
        outage: It says something about the upstream, whatever was asked.
        answered: The upstream has answered; False: it may not even have been asked.
        billed: The provider may charge for it, so that it is retried once at most.
        provider: Provider called.
        detail: What the provider said, JSON or text; see `conceal`.
        retry_after: Seconds after which the provider wants to be asked again, where it said so.
        usage: What it counted all the same; None: nothing.
        event: Data of that event of a stream which is the error; empty: none is.
    """

    retryable: ClassVar[bool] = False
    fallback: ClassVar[bool] = False
    outage: ClassVar[bool] = False
    answered: bool = True
    billed: ClassVar[bool] = False
    event: bytes = b""

    def __init__(self, provider: str, detail: object, retry_after: int | None = None) -> None:
        super().__init__(f"{provider}: {type(self).__name__}")
        self.provider = provider
        self.detail = detail
        self.retry_after = retry_after
        self.usage: Usage | None = None

    def conceal(self, secrets: Iterable[str]) -> Self:
        """Take secrets out of what the provider said, wherever it repeats them.

        Args:
            secrets: Those of the request that it answered.
        """
        text = self.detail if isinstance(self.detail, str) else _encode(self.detail)
        for secret in secrets:
            # In JSON, as its encoder writes it.
            text = text.replace(_encode(secret)[1:-1], _CONCEALED).replace(secret, _CONCEALED)
        if isinstance(self.detail, str):
            self.detail = text
            return self
        try:
            self.detail = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.detail = text
        return self


class RequestRefused(AdapterError):
    """The provider refused the caller's request."""


class ImageRefused(RequestRefused):
    """An image that the request names cannot be had, or may not be sent."""

    answered = False


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


class CredentialUnavailable(AdapterError):
    """No credential for the endpoint can be had now; that is not the provider's matter."""

    answered = False
    retryable = True
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
    outage = True


class UnusableAnswer(AdapterError):
    """The model wrote what is no answer, such as half a tool call; the next time it may not."""

    retryable = True
    fallback = True
    billed = True


class MalformedAnswer(UnusableAnswer):
    """The answer has no form that is known, and will have none the next time."""

    retryable = False


class NoAnswer(MalformedAnswer):
    """What came is none of the task's: it may be another server's, so nothing of it is told."""


class ProviderUnavailable(AdapterError):
    """The provider is overloaded or cannot be reached."""

    retryable = True
    fallback = True
    outage = True


class StreamTruncated(ProviderUnavailable):
    """The provider's stream ended before the answer did."""


class OutOfFiles(ProviderUnavailable):
    """The gateway itself may open no more files: no other upstream could be reached either."""

    answered = False
    fallback = False
    outage = False


class HostUnresolved(ProviderUnavailable):
    """The provider's host name has no address, as far as the gateway knows."""

    # Asked again within the call it would fail again; and the name servers are not the provider.
    retryable = False
    outage = False
    answered = False


class ProviderTimeout(AdapterError):
    """The provider did not answer in time."""

    retryable = True
    fallback = True
    outage = True


class ProviderNotImplemented(AdapterError):
    """No adapter exists yet for the provider."""

    fallback = True


def refusal(provider: str, message: str) -> RequestRefused:
    """Return the refusal of what a provider cannot take; `message` says what to change."""
    return RequestRefused(provider, {"error": {"message": message}})


_BY_STATUS: Mapping[int, type[AdapterError]] = {
    401: CredentialRefused,
    402: QuotaExhausted,
    403: CredentialRefused,
    404: ModelNotFound,
    408: ProviderTimeout,
    409: RequestConflict,
    # Failed dependency: the model failed behind the API, at this request.
    424: UnusableAnswer,
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


def _encode(said: object) -> str:
    try:
        return orjson.dumps(said).decode()
    except NestedTooDeeply:
        return orjson.dumps("the provider's error is nested too deeply").decode()
