"""The command `modelplane logs`: the calls of a deployment on this machine, one a line.

Called by `cli`. After: `files`, `calls`.
"""

import json
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from modelplane.deploy.command.api.failures import Status, WrongUsage
from modelplane.deploy.command.api.places import DATA_DIR
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import OUTPUT, argument, run_command
from modelplane.deploy.command.logs.calls import Call, parse_call
from modelplane.deploy.command.logs.files import Log
from modelplane.deploy.local.logs import MAX_LOG_BYTES

_DESCRIPTION = """\
Show the calls of a deployment on this machine, one a line: when, status, how long,
what, who, and why it failed, or how many tokens it used.
"""
_DEFAULT_LINES, _MAX_LINES = 20, 10_000
# Of each log that much is read for every call that is asked for: lines are shorter, and of a log
# only some are calls.
_BYTES_A_LINE = 2048
_POLL_SECONDS = 0.25


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    arguments = (
        argument("-f", "--follow", action="store_true", help="go on with those that come"),
        argument("--endpoint", default="", metavar="NAME", help="queries of one endpoint alone"),
        argument("--failed", action="store_true", help="those alone that were not answered"),
        argument(
            "-n",
            "--lines",
            type=int,
            default=_DEFAULT_LINES,
            help=f"how many of those that were (default {_DEFAULT_LINES}, at most {_MAX_LINES:,})",
        ),
        OUTPUT,
    )
    return run_command("logs", _DESCRIPTION, arguments, _logs, argv)


def _logs(session: Session) -> Status:
    given = session.given
    count: int = given.lines
    if not 0 <= count <= _MAX_LINES:
        raise WrongUsage(f"--lines is {count}; give 0 to {_MAX_LINES}")
    is_rare = given.endpoint or given.failed
    logs = _Logs(_folder(session), MAX_LOG_BYTES if is_rare else count * _BYTES_A_LINE)
    for call in logs.calls(partial(_is_wanted, given), count)[-count:] if count else []:
        _show(session, call)
    while given.follow:
        time.sleep(_POLL_SECONDS)
        for call in logs.calls(partial(_is_wanted, given)):
            _show(session, call)
    return Status.DONE


def _is_wanted(given: Namespace, call: Call) -> bool:
    return (not given.endpoint or call.endpoint == given.endpoint) and (
        call.failed or not given.failed
    )


def _folder(session: Session) -> Path:
    given = session.given
    directory = given.data_dir or session.environ.get("MODELPLANE_DATA_DIR") or DATA_DIR
    folder = Path(directory) / "logs"
    if given.url or given.profile or not folder.is_dir():
        raise WrongUsage(
            f"there are no logs in {folder}: they are where the deployment runs, in its "
            "--data-dir; in a cluster, read those of the pods"
        )
    return folder


class _Logs:
    """All logs of a folder, with those that come later."""

    def __init__(self, folder: Path, tail_bytes: int) -> None:
        self._folder = folder
        self._logs = {path: Log(path, tail_bytes) for path in folder.glob("*.log")}

    def calls(self, is_wanted: Callable[[Call], bool], most: int | None = None) -> list[Call]:
        """Return the calls that have come since the last time, in the order of their lines.

        Args:
            is_wanted: Which of them.
            most: How many of each log, the last ones; None: all.
        """
        for path in self._folder.glob("*.log"):
            if path not in self._logs:
                self._logs[path] = Log(path, tail_bytes=MAX_LOG_BYTES)
        found: list[Call] = []
        for log in self._logs.values():
            parsed = (call for line in log.lines() if (call := parse_call(line)) is not None)
            found += deque(filter(is_wanted, parsed), maxlen=most)
        return sorted(found, key=lambda call: call.time)


def _show(session: Session, call: Call) -> None:
    if session.is_json:
        session.write(json.dumps(call.line) + "\n")
        return
    took = f"{call.ms:,.0f} ms"
    line = f"{call.clock} {call.status} {took:>8} {call.what} {call.who} {call.words}".rstrip()
    session.write(line + "\n")
