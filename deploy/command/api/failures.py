"""How a command fails: one line that says what to do, and an exit status that scripts can read.

Raised everywhere in `command`; `nouns.main` prints them.
"""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses; `docs/command-line.md` lists them."""

    DONE = 0
    # Asked and answered in the negative: differences, problems, an update that failed.
    NEGATIVE = 1
    USAGE = 2
    REFUSED = 3
    NOT_ALLOWED = 4
    NOT_THERE = 5
    NOT_NOW = 6
    NO_ANSWER = 7
    INTERRUPTED = 130


class CommandFailed(Exception):
    """The command cannot do what it was asked to; the text is for the one who asked."""

    def __init__(self, message: str, status: Status) -> None:
        """Fail with one line, and an exit status."""
        super().__init__(message)
        self.status = status


class WrongUsage(CommandFailed):
    """What was given cannot be meant."""

    def __init__(self, message: str) -> None:
        """Fail with what is wrong, and what to give instead."""
        super().__init__(message, Status.USAGE)


class Refused(CommandFailed):
    """The deployment answered with an error.

    Attributes:
        http: HTTP status.
        error_code: Its name in the API.
    """

    def __init__(self, message: str, http: int, error_code: str = "") -> None:
        """Fail with an error of the API."""
        super().__init__(message, _status(http))
        self.http = http
        self.error_code = error_code


_STATUSES = {
    401: Status.NOT_ALLOWED,
    403: Status.NOT_ALLOWED,
    404: Status.NOT_THERE,
    409: Status.NOT_NOW,
    429: Status.NOT_NOW,
}
_SERVER_ERRORS = 500


def _status(http: int) -> Status:
    if http >= _SERVER_ERRORS:
        return Status.NO_ANSWER
    return _STATUSES.get(http, Status.REFUSED)
