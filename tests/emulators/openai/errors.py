"""Refusals in the shape of the OpenAI API; raised by every module here, sent by `server`."""

from collections.abc import Mapping

from tests.emulators.emulator import Json, Refusal

__all__ = ["ApiError", "AzureError", "Json"]


class ApiError(Refusal):
    """A refusal: HTTP status and the `error` object of the body."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        error = {"message": message, "type": kind, "param": param, "code": code}
        super().__init__(status, {"error": error}, headers)


class AzureError(ApiError):
    """A refusal by Azure's front door, whose `error` object holds only a code and a message."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message, status=status)
        self.body = {"error": {"code": code, "message": message}}
