"""From a domain error to what the caller sees: gRPC status, HTTP status and `error_code`.

Each plane declares one `StatusTable`; `abort` sends the outcome. The codes are those of the
Databricks API, which its clients map to exceptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, RETRY_AFTER

# grpc-message travels percent-encoded in a header; gRPC's own limit for all metadata is 8 KiB.
_MAX_ENCODED_MESSAGE = 6000
# Types of errors in OpenAI's API by HTTP status; `deploy/envoy/reshape.lua` has the same.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_FIRST_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Status:
    """How an error leaves the system."""

    code: grpc.StatusCode
    http: int
    error_code: str


INTERNAL = Status(grpc.StatusCode.INTERNAL, 500, "INTERNAL_ERROR")


class StatusTable:
    """Finds the status of an error by its class, or by the nearest of its base classes."""

    def __init__(self, statuses: Mapping[type[Exception], Status]) -> None:
        self._statuses = dict(statuses)

    def status_of(self, error: Exception) -> Status | None:
        """Return the status of `error`; None for an error that is no part of the domain."""
        for cls in type(error).__mro__:
            if issubclass(cls, Exception) and (status := self._statuses.get(cls)):
                return status
        return None


def error_type(http: int) -> str:
    """Return the type that errors of an HTTP status have in OpenAI's API."""
    if http in _TYPES:
        return _TYPES[http]
    return "server_error" if http >= _FIRST_SERVER_ERROR else "invalid_request_error"


def shorten(message: str) -> str:
    """Cut `message` so that its percent-encoded form fits into gRPC's metadata."""
    size = 0
    for index, character in enumerate(message):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > _MAX_ENCODED_MESSAGE:
            return message[:index] + "…"
    return message


def trailing_metadata(
    status: Status, retry_after: int | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata that lets Envoy shape the error for REST clients.

    Args:
        status: Status of the error.
        retry_after: Seconds after which the caller may try again, where known.
    """
    metadata = ((ERROR_CODE, status.error_code), (HTTP_STATUS, str(status.http)))
    return metadata if retry_after is None else (*metadata, (RETRY_AFTER, str(retry_after)))


async def abort(
    context: "grpc.aio.ServicerContext[Any, Any]",
    status: Status,
    message: str,
    retry_after: int | None = None,
) -> NoReturn:
    """End the call with `status`; never returns."""
    context.set_trailing_metadata(trailing_metadata(status, retry_after))
    await context.abort(status.code, shorten(message))
    raise AssertionError("abort returned")
