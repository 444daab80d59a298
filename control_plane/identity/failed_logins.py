"""How often logins may fail: each failure costs the database, and guesses cost more.

Failures are counted for the address that they come from, and for the client that they name, so that
many addresses may not guess at one client. They keep no client from logging in at an address where
it has done so before.

Used by `oauth_servicer`.
"""

from collections import OrderedDict
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import LoginThrottled

# Failures that an address or a client may have at once, and the time after which it may have one
# more.
MAX_FAILURES = 30
MAX_FAILURES_OF_CLIENT = 60
PAUSE_MS = 1_000
# Addresses, clients, and addresses of clients that are remembered; the one that was used longest
# ago is forgotten first.
MAX_ADDRESSES = 10_000
# No client's identifier is longer; what a stranger sends may be.
_KEY_LENGTH = 64


@dataclass(slots=True)
class _Failures:
    """Failures that are not forgiven yet, as of a time."""

    count: float
    at_ms: int


class _Failed:
    """The failures of each of those of one kind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, _Failures] = OrderedDict()

    def note(self, key: str) -> None:
        """Note one more failure."""
        key = key[:_KEY_LENGTH]
        self._failed[key] = _Failures(self.count(key) + 1, self._clock())
        self._failed.move_to_end(key)
        if len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def count(self, key: str) -> float:
        """Return the failures that are not forgiven yet."""
        failures = self._failed.get(key[:_KEY_LENGTH])
        if failures is None:
            return 0.0
        now_ms = self._clock()
        # A clock that was set back forgives nothing, but goes on from there.
        failures.at_ms = min(failures.at_ms, now_ms)
        return max(0.0, failures.count - (now_ms - failures.at_ms) / PAUSE_MS)


class FailedLogins:
    """Remembers which logins failed."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        """Begin with none.

        Args:
            clock: The time.
            registry: Where the metric goes.
        """
        self._of_addresses = _Failed(clock)
        self._of_clients = _Failed(clock)
        # Addresses and the clients that have logged in from there.
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._throttled = Counter(
            "modelplane_logins_throttled",
            "Logins that were refused before the database was asked, since too many had failed.",
            registry=registry,
        )

    def check_address(self, address: str, advice: str) -> None:
        """Check that an address may try to log in.

        Args:
            address: Of the caller.
            advice: What a caller is told to do that may not.

        Raises:
            LoginThrottled: It has failed too often.
        """
        if self._of_addresses.count(address) >= MAX_FAILURES:
            self._throttled.inc()
            raise LoginThrottled(f"Too many logins from your address have failed; {advice}")

    def check_client(self, address: str, client_id: str) -> None:
        """Check that an address may try to log in as a client.

        Raises:
            LoginThrottled: Too many have failed, and the client has not been at this address.
        """
        if (address, client_id) in self._known:
            return
        if self._of_clients.count(client_id) >= MAX_FAILURES_OF_CLIENT:
            self._throttled.inc()
            raise LoginThrottled(
                "Too many logins of this client have failed; check the client secret, and retry. "
                "Addresses from which the client has logged in before are not held up."
            )

    def note_failure(self, address: str, client_id: str = "") -> None:
        """Note that a login has failed, as a client if it names one."""
        self._of_addresses.note(address)
        if client_id:
            self._of_clients.note(client_id)

    def note_success(self, address: str, client_id: str) -> None:
        """Note that a client has logged in."""
        self._known[address, client_id] = None
        self._known.move_to_end((address, client_id))
        if len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)
