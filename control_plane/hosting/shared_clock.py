"""The time that all control-plane replicas go by. Before: the other modules of `hosting`."""

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.quota import read_time


class SharedClock:
    """Their database's time where there are several replicas."""

    def __init__(self, clock: Clock | None) -> None:
        """Use a clock; None: PostgreSQL's own."""
        self._clock = clock

    async def now_ms(self, session: Session) -> int:
        """Return the time, milliseconds since the epoch."""
        return self._clock() if self._clock else await read_time(session)
