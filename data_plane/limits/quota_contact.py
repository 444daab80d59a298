"""What a worker knows of the control plane's windows, and what holds while none leases quota.

Told by `quota_leases.py`; decides over `quota.py`'s counters without asking anyone.
"""

import logging
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf

from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaResponse

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.errors import LimitsUnavailable
from modelplane.data_plane.limits.quota import WINDOW_SECONDS, Counter

_log = logging.getLogger(__name__)


class WhenAway(StrEnum):
    """What happens to limited queries while no control plane answers."""

    CONTINUE = "continue"
    REFUSE = "refuse"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the control plane's, on this worker's clock.

    It is over at a time between two: that of the question plus what remained, and that of the
    answer plus what remained.
    """

    number: int
    ends_from: float
    ends_by: float


class Contact:
    """The contact to the control plane, kept or lost."""

    def __init__(self, when_away: WhenAway, seconds: float) -> None:
        """Start in contact.

        Args:
            when_away: What happens to limited queries while no control plane answers.
            seconds: How long to continue.
        """
        self._when_away = when_away
        self._seconds = seconds
        self._window: Window | None = None
        # When contact was lost, and in which window.
        self._lost_at: float | None = None
        self._lost_window = -1

    @property
    def is_lost(self) -> bool:
        """Whether no control plane answers."""
        return self._lost_at is not None

    @property
    def is_uncounted(self) -> bool:
        """Whether queries are admitted without counting."""
        return self.is_lost and self._when_away is WhenAway.ALLOW

    def note_answer(self, response: LeaseQuotaResponse, sent: float, now: float) -> Window:
        """Note that a control plane answered, and return the window that it told."""
        if self._lost_at is not None:
            fields = log_fields(away_seconds=round(now - self._lost_at, 3))
            _log.info("quota is leased again", extra=fields)
            self._lost_at = None
        remaining = response.remaining_ms / 1000
        self._window = Window(response.window, sent + remaining, now + remaining)
        return self._window

    def note_failure(self, reason: str, now: float) -> None:
        """Note that no control plane answered."""
        if self._lost_at is None:
            self._lost_at = now
            self._lost_window = self._open_window(now)[0]
            fields = log_fields(reason=reason, policy=self._when_away.value)
            _log.warning("no control plane leases quota", extra=fields)

    def decide(self, counter: Counter, amount: int, now: float) -> int | None:
        """Decide on a query while contact is lost, and return what was taken; see `Waiter`.

        Raises:
            LimitsUnavailable: Whether the limit allows it is not known, and the policy is to
                refuse.
        """
        if counter.take(amount, now):
            return amount
        if self._when_away is WhenAway.ALLOW or counter.rate:
            # What is provisioned is no more than its replicas do, whoever counts.
            return None
        since = inf if self._lost_at is None else now - self._lost_at
        if self._when_away is WhenAway.CONTINUE and since <= self._seconds:
            number, starts, ends = self._open_window(now)
            if number > self._lost_window and starts <= now:
                counter.enter_local(self._lost_window, number, ends)
            if counter.is_local and counter.granted:
                return counter.take_rest(amount, now)
        raise LimitsUnavailable

    def seconds_left(self, counter: Counter, now: float) -> int:
        """Return the seconds, rounded up, until a counter's window is over."""
        if counter.valid_until > now:
            return ceil(counter.valid_until - now)
        if self._window is None:
            return int(WINDOW_SECONDS)
        return ceil((self._window.ends_from - now) % WINDOW_SECONDS) or 1

    def _open_window(self, now: float) -> tuple[int, float, float]:
        """Return the window at `now`, and between which times it is sure to be open."""
        last = self._window
        if last is None:
            return -1, inf, -inf
        if now < last.ends_from:
            return last.number, -inf, last.ends_from
        passed = int((now - last.ends_from) // WINDOW_SECONDS)
        starts = last.ends_by + passed * WINDOW_SECONDS
        ends = last.ends_from + (passed + 1) * WINDOW_SECONDS
        return last.number + 1 + passed, starts, ends
