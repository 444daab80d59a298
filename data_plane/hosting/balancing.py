"""Which replica of a group is asked next: power of two choices, pure.

Used by `group.py`. M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996:
the less loaded of two that are drawn does nearly as well as the least loaded of all, and workers
that do not know of each other do not all run to the same one.
"""

from collections.abc import Sequence
from random import Random

from modelserving.worker.v1.hosting_pb2 import Replica as ReplicaMessage

from modelplane.adapters.shared.tls import pinned

# What a replica has told of the requests of other workers says nothing after so long.
_TOLD_SECONDS = 1.0
# Who is full of the requests of others is asked again when one of them may have ended, and then
# less and less often: who asks sends the whole body.
_BUSY_SECONDS = 0.005
_LONGEST_BUSY_SECONDS = 0.5
# Weight of the last request in the time that one takes.
_GAIN = 1 / 8
_LOST_SECONDS = 1.0
_LONGEST_LOST_SECONDS = 10.0


class Replica:
    """One process that serves a model, as far as this worker knows.

    Attributes:
        id: Identifier.
        address: `host:port` where it takes requests.
        url: Where they are sent.
        tls: What is believed of it, its own certificate alone; None: it speaks no TLS.
        headers: What each of them has.
        token: The credential among these.
        concurrency: How many it answers at a time.
        in_flight: How many this worker has in it.
        limit: How many it may have: fewer than `concurrency` while other workers fill it.
        rests_until: Time until which it is not asked, on the clock of the event loop.
    """

    __slots__ = (
        "_others",
        "_rest_seconds",
        "_seconds",
        "_told_at",
        "address",
        "concurrency",
        "headers",
        "id",
        "in_flight",
        "limit",
        "rests_until",
        "tls",
        "token",
        "url",
    )

    def __init__(self, message: ReplicaMessage) -> None:
        self.id = message.id
        self.address = message.address
        self.tls = pinned(message.certificate) if message.certificate else None
        self.url = f"http{'s' if self.tls else ''}://{message.address}/invocations"
        self.token = message.token
        self.headers = {
            "authorization": f"Bearer {message.token}",
            "content-type": "application/json",
        }
        self.concurrency = self.limit = max(1, message.concurrency)
        self.in_flight = 0
        self.rests_until = 0.0
        self._rest_seconds = 0.0
        # What a request takes; 0: none has been answered yet.
        self._seconds = 0.0
        # Requests of other workers in it, and when it told of them.
        self._others = 0
        self._told_at = 0.0

    def load(self, now: float) -> float:
        """Return how full it is; 1: as many requests are in it as it answers at a time."""
        others = self._others if now - self._told_at < _TOLD_SECONDS else 0
        return (self.in_flight + others) / self.concurrency

    def tell(self, load: int, now: float) -> None:
        """Note how many requests it says are in it beside the one that it answers just now.

        It takes twice as many as it answers at a time. Where there is room for more than one in the
        place of that one, this worker may have one more.
        """
        self._others = max(0, load + 1 - self.in_flight)
        self._told_at = now
        if self.limit < self.concurrency and load < 2 * self.concurrency - 1:
            self.limit += 1

    def take(self, seconds: float) -> None:
        """Note that it has answered a request, in so many seconds: it is there, and not full."""
        self._seconds += (seconds - self._seconds) * (_GAIN if self._seconds else 1)
        self.rests_until = self._rest_seconds = 0.0

    def is_out(self, now: float) -> bool:
        """Tell whether it is left alone since it could not be reached."""
        return self.rests_until > now and self._rest_seconds >= _LOST_SECONDS

    def refuse(self, now: float, random: Random) -> None:
        """Note that it is full; the request that it has refused is still counted."""
        self.limit = max(1, self.in_flight - 1)
        if self.in_flight > 1:
            # It has room again when one of those ends, if not before.
            return
        before = self._rest_seconds if self._rest_seconds < _LOST_SECONDS else 0.0
        least = max(_BUSY_SECONDS, self._seconds / (2 * self.concurrency))
        most = min(_LONGEST_BUSY_SECONDS, max(4 * least, self._seconds or _LONGEST_BUSY_SECONDS))
        self._rest(now, random, min(most, max(least, 2 * before)))

    def lose(self, now: float, random: Random) -> None:
        """Note that it cannot be reached."""
        seconds = max(_LOST_SECONDS, 2 * self._rest_seconds)
        self._rest(now, random, min(_LONGEST_LOST_SECONDS, seconds))

    def rouse(self) -> None:
        """Forget why it was left alone."""
        self.rests_until = self._rest_seconds = 0.0

    def _rest(self, now: float, random: Random, seconds: float) -> None:
        self._rest_seconds = seconds
        self.rests_until = now + seconds * random.uniform(0.75, 1.25)


def pick(replicas: Sequence[Replica], now: float, random: Random) -> Replica | None:
    """Return the replica that gets the next request; None: none has room.

    Args:
        replicas: All of a group.
        now: Time on the clock of the event loop.
        random: Draws the two.
    """
    free = [
        replica
        for replica in replicas
        if replica.in_flight < replica.limit and replica.rests_until <= now
    ]
    count = len(free)
    if count < 2:  # noqa: PLR2004 - two to choose from
        return free[0] if free else None
    first = int(random.random() * count)
    second = int(random.random() * (count - 1))
    one, other = free[first], free[second + (second >= first)]
    return one if one.load(now) <= other.load(now) else other
