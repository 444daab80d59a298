"""Errors of Bedrock and of AWS's front door, by their type; called by all of its adapters.

A type arrives in the header `x-amzn-errortype`, in the body as `__type`, or as the type of an
exception inside a stream, there with a small first letter.
"""

from collections.abc import Mapping

from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_text,
    parse_error_detail,
)
from modelplane.adapters.providers.errors import (
    AdapterError,
    CredentialRefused,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestConflict,
    RequestRefused,
    UnusableAnswer,
    classify,
    parse_retry_after,
)
from modelplane.adapters.providers.types import HttpAnswer

_TYPE_HEADER = "x-amzn-errortype"
_BY_TYPE: Mapping[str, type[AdapterError]] = {
    "validationexception": RequestRefused,
    "accessdeniedexception": CredentialRefused,
    "unrecognizedclientexception": CredentialRefused,
    "invalidsignatureexception": CredentialRefused,
    "signaturedoesnotmatch": CredentialRefused,
    "incompletesignatureexception": CredentialRefused,
    "missingauthenticationtokenexception": CredentialRefused,
    "missingauthenticationtoken": CredentialRefused,
    "expiredtokenexception": CredentialRefused,
    "expiredtoken": CredentialRefused,
    "invalidclienttokenid": CredentialRefused,
    "notauthorized": CredentialRefused,
    "optinrequired": CredentialRefused,
    "resourcenotfoundexception": ModelNotFound,
    "conflictexception": RequestConflict,
    "throttlingexception": RateLimited,
    "throttling": RateLimited,
    "toomanyrequestsexception": RateLimited,
    "servicequotaexceededexception": QuotaExhausted,
    "modelnotreadyexception": ProviderUnavailable,
    "serviceunavailableexception": ProviderUnavailable,
    "serviceunavailable": ProviderUnavailable,
    "modeltimeoutexception": ProviderTimeout,
    "modelerrorexception": UnusableAnswer,
    "modelstreamerrorexception": UnusableAnswer,
    "internalserverexception": ProviderFailed,
    "internalfailure": ProviderFailed,
}
# Of those, the ones that a new key may cure; a denied access it does not.
_KEY_REFUSED = frozenset(
    {
        "expiredtoken",
        "expiredtokenexception",
        "invalidclienttokenid",
        "invalidsignatureexception",
        "signaturedoesnotmatch",
        "unrecognizedclientexception",
    }
)


def parse_http_error(provider: str, answer: HttpAnswer) -> AdapterError:
    """Return the error in a failed response; `provider` is the name that it carries."""
    detail = parse_error_detail(answer)
    kind = answer.headers.get(_TYPE_HEADER) or _type_in(detail)
    cls = _BY_TYPE.get(_plain(kind)) or classify(answer.status)
    if cls is CredentialRefused:
        detail = _first_line(detail)
    return cls(provider, detail, parse_retry_after(answer.headers))


def refuses_key(headers: Mapping[str, str]) -> bool:
    """Return whether a response says that the key which signed its request is not in force."""
    return _plain(headers.get(_TYPE_HEADER, "")) in _KEY_REFUSED


def build_reported_error(provider: str, kind: str, detail: object) -> AdapterError:
    """Return the error that an exception inside a stream reports.

    Args:
        provider: Name that errors carry.
        kind: Type of the exception.
        detail: What it says.
    """
    if isinstance(detail, bytes):
        detail = parse_error_detail(HttpAnswer(200, {}, detail))
    return _BY_TYPE.get(_plain(kind), ProviderFailed)(provider, detail)


def _type_in(detail: object) -> str:
    body = as_object(detail)
    error = as_object(body.get("Error"))
    return as_text(body.get("__type")) or as_text(body.get("code")) or as_text(error.get("Code"))


def _plain(kind: str) -> str:
    """Return a type without its name space and what follows a colon, in small letters."""
    return kind.rpartition("#")[2].partition(":")[0].strip().lower()


def _first_line(detail: object) -> object:
    """Cut what a refused signature should have been: it repeats the request's own headers."""
    if isinstance(detail, str):
        return detail.partition("\n")[0]
    body = as_object(detail)
    return {
        name: value.partition("\n")[0] if isinstance(value, str) else value
        for name, value in body.items()
    } or detail
