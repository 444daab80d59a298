"""Is an upstream worth calling now, and how often again? A circuit breaker with a retry budget.

Used by `attempts.py`. Only failures of the upstream itself count, never a caller's mistake. Time
and chance are arguments. M. Nygard, "Release It!", chapter 5, describes the pattern.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from random import Random

# What happened longer ago than this says nothing of an upstream that is seldom called.
_MEMORY_SECONDS = 60.0
_FIRST_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 30.0
# Retries are a tenth of the calls, and besides a few for upstreams that are seldom called.
_RETRIES_PER_CALL = 0.1
_RETRIES_PER_SECOND = 0.1
_MOST_RETRIES = 5.0
_FIRST_RETRIES = 3.0
# Circuits of upstreams that were called last; the others start anew.
_MAX_CIRCUITS = 10_000


class Circuit:
    """What is known of one upstream.

    Attributes:
        answered: Number of calls that it has answered.
    """

    __slots__ = (
        "_clock",
        "_failed_at",
        "_in_a_row",
        "_limit",
        "_outcomes",
        "_probing",
        "_random",
        "_refilled",
        "_rest_seconds",
        "_rests_until",
        "_retries",
        "answered",
    )

    def __init__(self, clock: Callable[[], float], random: Random, limit: int) -> None:
        """Start closed.

        Args:
            clock: Monotonic time, seconds.
            random: Keeps workers from probing at the same moment.
            limit: Opens after so many failures in a row, or when half of the last four times as
                many calls failed; 0: never.
        """
        self._clock = clock
        self._random = random
        self._limit = limit
        self._outcomes: deque[bool] = deque(maxlen=4 * limit)
        self._in_a_row = 0
        self._failed_at = clock()
        # Time until which it rests; None while it is closed.
        self._rests_until: float | None = None
        self._rest_seconds = _FIRST_REST_SECONDS
        self._probing = False
        self._retries = _FIRST_RETRIES
        self._refilled = clock()
        self.answered = 0

    @property
    def open(self) -> bool:
        """Whether the upstream counts as broken."""
        return self._rests_until is not None

    def admit(self) -> float:
        """Return 0 for a call that may go ahead, else the seconds until the next may.

        While the circuit is open, one call at a time probes the upstream once it has rested. Each
        call that goes ahead is followed by `succeed`, `fail` or `release`.
        """
        if self._rests_until is not None:
            rest = self._rests_until - self._clock()
            if rest > 0 or self._probing:
                return max(rest, 1.0)
            self._probing = True
        self._retries = min(_MOST_RETRIES, self._retries + _RETRIES_PER_CALL)
        return 0.0

    def succeed(self) -> bool:
        """Note a call that the upstream answered; tell whether that closed the circuit."""
        self._in_a_row = 0
        self.answered += 1
        if self._rests_until is None:
            self._outcomes.append(True)
            return False
        self._outcomes.clear()
        self._rests_until = None
        self._rest_seconds = _FIRST_REST_SECONDS
        self._probing = False
        return True

    def fail(self) -> bool:
        """Note a call that failed by the upstream's fault; tell whether that opened the circuit."""
        if self._rests_until is not None:
            if self._probing:
                self._probing = False
                self._rest_seconds = min(self._rest_seconds * 2, _LONGEST_REST_SECONDS)
                self._rest()
            return False
        now = self._clock()
        if now - self._failed_at > _MEMORY_SECONDS:
            self._in_a_row = 0
            self._outcomes.clear()
        self._failed_at = now
        self._in_a_row += 1
        self._outcomes.append(False)
        failures = self._outcomes.count(False)
        if not self._limit or (self._in_a_row < self._limit and failures < 2 * self._limit):
            return False
        self._rest()
        return True

    def release(self) -> None:
        """Note a call that ended without telling anything of the upstream."""
        self._probing = False

    def take_retry(self) -> bool:
        """Take a retry out of the budget, if there is one left."""
        now = self._clock()
        refill = (now - self._refilled) * _RETRIES_PER_SECOND
        self._refilled = now
        self._retries = min(_MOST_RETRIES, self._retries + refill)
        if self._retries < 1 or self.open:
            return False
        self._retries -= 1
        return True

    def _rest(self) -> None:
        pause = self._rest_seconds * self._random.uniform(0.75, 1.25)
        self._rests_until = self._clock() + pause


class Circuits:
    """The circuits of all upstreams, by what identifies an upstream."""

    def __init__(self, clock: Callable[[], float], random: Random, limit: int = 5) -> None:
        """Make circuits; arguments as of `Circuit`."""
        self._clock = clock
        self._random = random
        self._limit = limit
        self._circuits: OrderedDict[bytes, Circuit] = OrderedDict()

    def find(self, key: bytes) -> Circuit:
        """Return the circuit of an upstream."""
        circuit = self._circuits.get(key)
        if circuit is None:
            circuit = self._circuits[key] = Circuit(self._clock, self._random, self._limit)
            if len(self._circuits) > _MAX_CIRCUITS:
                self._circuits.popitem(last=False)
        return circuit
