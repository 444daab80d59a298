"""Refusals in Google's shape; raised by every module here, sent by `server`."""

from tests.emulators.emulator import Json, Refusal

_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(status: int, message: str) -> Json:
    """Return a body in Google's error shape."""
    name = _NAMES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": name}}


class GoogleError(Refusal):
    """A refusal by one of Google's APIs."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(status, error_body(status, message))


class TokenError(Refusal):
    """A refusal by the token endpoint."""

    def __init__(self, kind: str, message: str, *, status: int = 400) -> None:
        super().__init__(status, {"error": kind, "error_description": message})
