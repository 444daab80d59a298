"""Errors of the API for faults; what faults there are, is in `tests/emulators/faults.py`."""

from tests.emulators.openai.errors import Json


def error_body(message: str, kind: str = "server_error", code: str | None = None) -> Json:
    """Return a body in the API's error shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
