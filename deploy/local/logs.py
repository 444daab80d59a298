"""Keeps the logs of the parts within a size: what is older moves aside, and what is older yet goes.

`supervisor.py` runs it. A part keeps its log open and only appends to it, so its text is copied and
then cut off; lines that are written in between are lost.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

MAX_LOG_BYTES = 32 * 1024 * 1024
_OLDER = ".1"
# A flood of refused requests writes some 15 MB in it.
_CHECK_SECONDS = 1.0


class Logs:
    """The logs in one folder, of which each has at most one older part beside it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Keep logs.

        Args:
            folder: Where they are.
            say: Tells the user once when older parts cannot be kept.
        """
        self._folder = folder
        self._say = say
        self._told = False

    async def run(self) -> None:
        """Keep them within their size until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Move the text of each log that has become too long aside; never raises for the disk."""
        try:
            for log in self._folder.glob("*.log"):
                if log.stat().st_size > MAX_LOG_BYTES:
                    self._rotate(log)
        except OSError as error:
            self._tell(f"cannot keep the logs in {self._folder} short: {error.strerror}")

    def _rotate(self, log: Path) -> None:
        older = log.with_name(log.name + _OLDER)
        try:
            shutil.copyfile(log, older)
        except OSError as error:
            # To cut the log off is what gives the room back.
            older.unlink(missing_ok=True)
            self._tell(f"cannot keep what {log} held: {error.strerror}")
        with log.open("r+b") as stream:
            stream.truncate()

    def _tell(self, line: str) -> None:
        if not self._told:
            self._told = True
            self._say(line)
