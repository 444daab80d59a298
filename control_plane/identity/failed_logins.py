"""How often an address may fail to log in: each failure costs the database, and guesses cost more.

Used by `oauth_servicer`.
"""

from collections import OrderedDict
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import LoginThrottled

# Failures that an address may have at once, and the time after which it may have one more.
MAX_FAILURES = 30
PAUSE_MS = 1_000
# Addresses that are remembered; the one that failed longest ago is forgotten first.
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class _Failures:
    """Failures of an address that are not forgiven yet, as of a time."""

    count: float
    at_ms: int


class FailedLogins:
    """Remembers which addresses failed."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        """Begin with none.

        Args:
            clock: The time.
            registry: Where the metric goes.
        """
        self._clock = clock
        self._failed: OrderedDict[str, _Failures] = OrderedDict()
        self._throttled = Counter(
            "modelplane_logins_throttled",
            "Logins that were refused unread, since their address had failed too often.",
            registry=registry,
        )

    def check(self, address: str) -> None:
        """Check that an address may try to log in.

        Raises:
            LoginThrottled: It has failed too often.
        """
        if self._open(address) >= MAX_FAILURES:
            self._throttled.inc()
            raise LoginThrottled(
                "Too many logins from your address have failed; check the client id and the client "
                "secret, and retry."
            )

    def note(self, address: str) -> None:
        """Note that a login from an address has failed."""
        count = self._open(address) + 1
        self._failed[address] = _Failures(count, self._clock())
        self._failed.move_to_end(address)
        if len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def _open(self, address: str) -> float:
        failures = self._failed.get(address)
        if failures is None:
            return 0.0
        # A clock that was set back forgives nothing.
        passed_ms = max(0, self._clock() - failures.at_ms)
        return max(0.0, failures.count - passed_ms / PAUSE_MS)
