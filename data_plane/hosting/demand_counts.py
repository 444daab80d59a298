"""What a worker counts of a group between two reports.

Counted by `group.py`, told by `demand.py`.
"""

from math import inf


class DemandCounts:
    """What is asked of one group.

    Attributes:
        arrivals: Requests that came since the last report.
        refused: Requests that were refused since then, as too many waited.
        in_flight: Requests at its replicas now.
        tokens: Tokens that were admitted since the last report, as far as they are counted.
        woken_at: When a Wake was sent last, on the clock of the event loop.
        told: Whether the last report said anything of the group.
    """

    __slots__ = (
        "_area",
        "_changed_at",
        "_since",
        "arrivals",
        "in_flight",
        "refused",
        "tokens",
        "told",
        "woken_at",
    )

    def __init__(self, now: float) -> None:
        self.arrivals = self.refused = self.in_flight = self.tokens = 0
        self.woken_at = -inf
        self.told = False
        self._since = self._changed_at = now
        # Requests in flight times seconds since `_since`.
        self._area = 0.0

    def restart(self, now: float) -> None:
        """Begin anew after a time in which there was nothing to tell."""
        self.change(0, now)
        self._area = 0.0
        self._since = now

    def change(self, amount: int, now: float) -> None:
        """Note that so many requests more are in flight."""
        self._area += self.in_flight * (now - self._changed_at)
        self._changed_at = now
        self.in_flight += amount

    def take(self, now: float) -> tuple[float, int, int, float]:
        """Return what was since the last call.

        Returns:
            The mean in flight, the arrivals, the refusals, and the tokens in each second.
        """
        self.change(0, now)
        seconds = now - self._since
        mean = self._area / seconds if seconds > 0 else float(self.in_flight)
        taken = mean, self.arrivals, self.refused, self.tokens / (seconds or 1.0)
        self.restart(now)
        self.arrivals = self.refused = self.tokens = 0
        return taken
