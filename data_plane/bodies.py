"""Bounds what the bodies of requests take of a worker's memory, in all and for each caller.

`invocation.py` asks, a host (`hosts/`) tells how much of a body has arrived. A large one counts
until its call ends: what is made of it for the provider is as large.
"""

from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import CallerFull, WorkerFull

# A body that is no larger is not counted: as much is read of a request before its caller is known,
# and connections have a bound.
SMALL_BYTES = 64 * 1024
# Of all that there may be, one caller has at most this share.
_SHARE_OF_CALLER = 0.5


class Bodies:
    """Counts the bytes of large bodies under way.

    Attributes:
        held_bytes: How many there are.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start with none.

        Args:
            max_bytes: How many there may be.
        """
        self.held_bytes = 0
        self._max_bytes = max_bytes
        self._max_of_caller = int(max_bytes * _SHARE_OF_CALLER)
        self._callers: dict[str, int] = {}

    def hold(self, record: Record, size: int) -> None:
        """Count what has arrived of a call's body, until `give_back`.

        Args:
            record: The call's, whose caller is known.
            size: Bytes so far.

        Raises:
            CallerFull: Its caller has too many under way.
            WorkerFull: All callers together have.
        """
        if size <= SMALL_BYTES or record.principal is None:
            return
        caller = record.principal.id
        more = size - record.held_bytes
        of_caller = self._callers.get(caller, 0) + more
        if of_caller > self._max_of_caller:
            raise CallerFull(self._max_of_caller)
        if self.held_bytes + more > self._max_bytes:
            raise WorkerFull
        self.held_bytes += more
        self._callers[caller] = of_caller
        record.held_bytes = size

    def give_back(self, record: Record) -> None:
        """Count the body of a call no longer."""
        size, record.held_bytes = record.held_bytes, 0
        if not size or record.principal is None:
            return
        self.held_bytes -= size
        left = self._callers[record.principal.id] - size
        if left:
            self._callers[record.principal.id] = left
        else:
            del self._callers[record.principal.id]
