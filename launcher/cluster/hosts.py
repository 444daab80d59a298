"""A host that has registered: what it is told, and what it has said last.

`host_servicer.py` has the lines to all of them, `launcher.py` what should run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.cluster.cluster import Identity
from modelplane.launcher.cluster.merged import fit

_LOG_CHARACTERS = 256 * 1024
# One that reports each second and has not for so long is gone, or its machine is.
_SILENT_SECONDS = 6.0
# One whose line broke may be back at once.
_BROKEN_SECONDS = 2.0
_FETCHED = (
    pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT,
    pb.GROUP_PROGRESS_CONVERTING,
    pb.GROUP_PROGRESS_STARTING,
    pb.GROUP_PROGRESS_READY,
)


class HostLog:
    """The end of a log of a host.

    Attributes:
        version: Grows with each change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._text = ""

    def text(self) -> str:
        """Return the log."""
        return self._text

    def put(self, text: str) -> None:
        """Take what replaces it."""
        self._text = text[-_LOG_CHARACTERS:].replace("\0", "\ufffd")
        self.version += 1


class Host:
    """A host that has registered.

    Attributes:
        identity: Who it is.
        report: What it has said last; None: nothing yet.
        logs: Its logs, by kind.
        has_fetched: Whether it has had the model's files.
    """

    def __init__(self, identity: Identity, told: Callable[[], None]) -> None:
        self.identity = identity
        self.report: pb.GroupReport | None = None
        self.logs: dict[int, HostLog] = {}
        self.has_fetched = False
        self._told = told
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()
        # Number of the stream that is its line now; 0: it has none.
        self._session = 0
        self._sessions = 0
        self._news = asyncio.Event()

    def is_gone(self, now: float) -> bool:
        """Tell whether it does not count any longer."""
        patience = _SILENT_SECONDS if self._session else _BROKEN_SECONDS
        return now - self._heard > patience

    def forgive(self, seconds: float) -> None:
        """Count its silence for so much less: nobody has listened."""
        self._heard += seconds

    @property
    def has_left(self) -> bool:
        """Whether its line has ended."""
        return not self._session

    def notify(self) -> None:
        """Look whether there is something to tell it."""
        self._news.set()

    def enter(self) -> int:
        """Begin its stream, and return its number; 0: it has one, or who speaks for it has."""
        if self._session:
            return 0
        self._sessions += 1
        self._session = self._sessions
        self._heard = self._clock()
        return self._session

    def leave(self, session: int) -> None:
        """End a stream, if it still is its line."""
        if session == self._session:
            self._session = 0
            self._heard = self._clock()
            self._news.set()
            self._told()

    def drop(self) -> None:
        """End its stream, whichever that is: it has to register anew."""
        self.leave(self._session)

    async def read(self, session: int, requests: AsyncIterator[pb.SyncRequest]) -> None:
        """Take what it says on a stream, until that ends."""
        try:
            async for request in requests:
                if session != self._session:
                    return
                if request.WhichOneof("message") == "report":
                    self._take(request.report)
        finally:
            # Ends what is told, too.
            self.leave(session)

    async def orders(
        self, session: int, find: Callable[["Host"], pb.GroupSpec | None]
    ) -> AsyncIterator[pb.SyncResponse]:
        """Yield what it is told on a stream, at each change, until that ends."""
        known: pb.GroupSpec | None = None
        while session == self._session:
            spec = find(self)
            if spec is not None and spec != known:
                known = spec
                yield pb.SyncResponse(desired=pb.DesiredState(groups=[spec]))
            await self._news.wait()
            self._news.clear()

    def _take(self, report: pb.Report) -> None:
        self._heard = self._clock()
        for log in report.logs:
            if log.kind in (pb.LOG_KIND_BUILD, pb.LOG_KIND_SERVICE):
                self.logs.setdefault(log.kind, HostLog()).put(log.text)
        own = [one for one in report.groups if one.group_id == self.identity.group_id]
        found = fit(own[0], self.identity.address) if own else None
        if found is not None and found.progress in _FETCHED:
            self.has_fetched = True
        if found != self.report:
            self.report = found
            self._told()
