"""What a launcher is asked of the place where its replicas run, whatever that place is.

`service.py` asks it, `__main__.py` chooses one: `local` has the processes of this machine. What
all of them do is in `tests/launcher/test_backends.py`.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.counts import Counts


class LogTail(Protocol):
    """The end of a log.

    Attributes:
        version: Another one after each change.
    """

    @property
    def version(self) -> int:
        """See the class."""

    def text(self) -> str:
        """Return the log: whole lines of UTF-8 without NUL, 256 KiB at most."""


class Backend(Protocol):
    """A place where replicas run.

    Attributes:
        changed: Set after each change of what `report` returns; whoever reads it clears it.
        counts: What has become of replicas, and was done for them.
    """

    changed: asyncio.Event
    counts: Counts

    def apply(self, specs: Collection[pb.GroupSpec]) -> None:
        """Let these groups run, and end all others: the whole desired state, again and again."""

    def stand_by(self) -> None:
        """Leave the pool to another launcher, which is the active one from now on."""

    def report(self) -> pb.Report | None:
        """Return all that runs, without logs; None: that is not known yet."""

    def logs(self) -> "Iterable[tuple[str, pb.LogKind.ValueType, LogTail]]":
        """Return each log with its group and what it is of."""

    async def watch(self) -> None:
        """Look after what runs, until cancelled."""

    async def stop(self, seconds: float) -> None:
        """End all that would end with this process, and start nothing any more.

        Args:
            seconds: Time for requests that are being answered.
        """
