"""Refusals in the shape of the Anthropic API; raised by every module here, sent by `server`."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.emulators.emulator import Json, Refusal
from tests.emulators.openai.errors import ApiError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
REQUEST_ID = "req_emulated"


def error_body(status: int, message: str) -> Json:
    """Return the body of an error with this status."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": REQUEST_ID}


def refusal(message: str, status: int = 400) -> Refusal:
    """Return a refusal of a request."""
    return Refusal(status, error_body(status, message))


@contextmanager
def shaped() -> Iterator[None]:
    """Turn the refusals of the shared checks into this API's."""
    try:
        yield
    except ApiError as error:
        said = error.body["error"]
        raise refusal(f"{said['param']}: {said['message']}") from error
