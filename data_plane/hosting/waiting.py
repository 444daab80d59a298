"""Requests that wait for a replica: a queue for each group, and one bound on their bytes for all.

Used by `group.py`.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from modelplane.data_plane.hosting.balancing import Replica


@dataclass(slots=True)
class Ticket:
    """A request for a replica.

    Attributes:
        entity: Name of the served entity, for errors.
        size: Bytes of the request.
        came: When it came, on the clock of the event loop.
        expires: When it has waited long enough.
        in_haste: Whether that is the caller's own deadline.
        queued: Whether it has waited already, so that it goes before those who have not.
        cold_since: Since when it waits for a group without a replica; None: it does not.
    """

    entity: str
    size: int
    came: float
    expires: float
    in_haste: bool = False
    queued: bool = False
    cold_since: float | None = None


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits.

    Attributes:
        ticket: The request.
        turn: Done when it has a replica, or gets none.
    """

    ticket: Ticket
    turn: "asyncio.Future[Replica]" = field(repr=False)


class HeldBytes:
    """The bytes of all requests that wait at a worker, which are bounded.

    One group has no more than what it leaves free, so that no group can keep another's requests
    from waiting: the dynamic thresholds of A. Choudhury and E. Hahne, 1998.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start empty.

        Args:
            max_bytes: How many there may be.
        """
        self.total = 0
        self._max_bytes = max_bytes

    def has_room(self, size: int, of_group: int) -> bool:
        """Tell whether a request of a group that has `of_group` bytes here may wait."""
        return of_group + size <= self._max_bytes - self.total


class Queue:
    """The requests that wait for one group, first come, first served."""

    __slots__ = ("_bytes", "_held", "_waiters")

    def __init__(self, held: HeldBytes) -> None:
        """Start empty.

        Args:
            held: Bytes of this queue and of all others.
        """
        self._held = held
        self._bytes = 0
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiters)

    @property
    def oldest(self) -> float:
        """When the first of them came; there is one."""
        return self._waiters[0].ticket.came

    def has_room(self, size: int) -> bool:
        """Tell whether there is room for the bytes of one more."""
        return self._held.has_room(size, self._bytes)

    def add(self, waiter: Waiter) -> None:
        """Let one wait behind all others, or before them if it has waited before."""
        if waiter.ticket.queued:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        waiter.ticket.queued = True
        self._count(waiter.ticket.size)

    def next(self) -> Waiter:
        """Take out the one whose turn it is; there is one."""
        waiter = self._waiters.popleft()
        self._count(-waiter.ticket.size)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take one out who waits no longer, if it is still there."""
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return
        self._count(-waiter.ticket.size)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._held.total += size
