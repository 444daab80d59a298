"""The time that all control-plane replicas go by. Before: `hosting`, `limits`. After: `store`."""

from modelplane.control_plane.clock import Clock, system_clock
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.quota import read_time


class SharedClock:
    """Their database's time where there are several replicas; see `lease_clock`."""

    def __init__(self, clock: Clock | None) -> None:
        """Use a clock; None: PostgreSQL's own."""
        self.own = clock

    async def now_ms(self, session: Session) -> int:
        """Return the time, milliseconds since the epoch."""
        return self.own() if self.own else await read_time(session)


def lease_clock(database: Database) -> SharedClock:
    """Return the time by which leases and windows end.

    A process alone has its own; replicas have that of the database that they share.
    """
    return SharedClock(None if database.is_postgresql else system_clock)
