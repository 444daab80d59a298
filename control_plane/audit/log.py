"""Stores audit events: a change's with the change itself, refusals a little later and not all.

Before: `interceptor`. After: `store.audit`. Beside: `event`, which builds the events. A flood
of refusals costs a few rows: those that are alike become one, and of very many only the number
is kept. Each stored event is also a log line.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as CounterMetric

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.store.audit import (
    AuditEvent,
    delete_event,
    delete_events_before,
    delete_refusals_beyond,
    insert_event,
)
from modelplane.control_plane.store.database import Database, Transaction

_log = logging.getLogger("modelplane.control_plane.audit")

# Refusals of this time become rows together.
WINDOW_SECONDS = 5.0
# Rows of one window: of each caller that is known, and of all that are not together. One more row
# per caller says how many refusals have none, so that nobody's hide another's.
MAX_OF_ONE = 20
MAX_UNKNOWN = 10
SUPPRESSED = "(further refusals)"
# Callers that have rows of their own in one window; those beyond are told by their number.
MAX_CALLERS = 100
# Refusals are kept up to this number, whatever their age: a row takes about 500 bytes.
KEEP_REFUSALS = 100_000

_SWEEP_SECONDS = 600.0
# Short transactions, since SQLite has one writer at a time.
_SWEEP_ROWS = 1_000
_DAY_MS = 24 * 3600 * 1000

_Key = tuple[str, ...]
# Identifier and name.
_Caller = tuple[str, str]
_NOBODY = ("", "")


class Change:
    """The event of an RPC that changes something; joins its transactions."""

    def __init__(self, event: AuditEvent) -> None:
        self._event = event
        self._stored_id = 0
        self._joined_id = 0

    async def join(self, transaction: Transaction) -> None:
        """Store the event with a transaction; of several, it stays with the last one."""
        if self._stored_id:
            await delete_event(transaction, self._stored_id)
        self._joined_id = await insert_event(transaction, self._event)

    def committed(self) -> None:
        """Learn that the event is stored."""
        if not self._stored_id:
            _say(self._event)
        self._stored_id = self._joined_id


class AuditLog:
    """Takes refusals, stores them, and forgets what is old."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        retention_days: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Declare the metrics.

        Args:
            database: Where events are stored.
            clock: Time.
            registry: Collects the metrics.
            retention_days: Days that events are kept.
            sleep: Waits for seconds.
        """
        self._database = database
        self._clock = clock
        self._retention_days = retention_days
        self._sleep = sleep
        self._waiting: dict[_Key, AuditEvent] = {}
        # Rows that wait, and refusals without one, by caller; of those not known, by none.
        self._rows: Counter[str] = Counter()
        self._suppressed: Counter[_Caller] = Counter()
        self._arrived = asyncio.Event()
        self._refusals = CounterMetric(
            "modelplane_audit_refusals",
            "Refusals by whether the audit log has a row for them.",
            ("recorded",),
            registry=registry,
        )

    def now_ms(self) -> int:
        """Return the time, milliseconds since the epoch."""
        return self._clock()

    def refuse(self, event: AuditEvent) -> None:
        """Take a refusal; it is stored soon, together with those that are like it."""
        key = _key(event)
        before = self._waiting.get(key)
        if before:
            self._waiting[key] = replace(before, count=before.count + event.count)
        elif self._has_room(event.principal_id):
            self._waiting[key] = event
            self._rows[event.principal_id] += 1
        else:
            self._suppress(event)
            return
        self._refusals.labels("yes").inc(event.count)
        self._arrived.set()

    def _has_room(self, principal_id: str) -> bool:
        own = self._rows[principal_id]
        if not principal_id:
            return own < MAX_UNKNOWN
        return own < MAX_OF_ONE and (bool(own) or len(self._rows) < MAX_CALLERS)

    def _suppress(self, event: AuditEvent) -> None:
        caller = event.principal_id, event.principal_name
        if caller not in self._suppressed and len(self._suppressed) >= MAX_CALLERS:
            caller = _NOBODY
        self._suppressed[caller] += event.count
        self._refusals.labels("no").inc(event.count)

    async def run(self) -> None:
        """Store what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            try:
                await self.flush()
            except StoreUnavailable as error:
                _log.warning("refusals wait", extra=log_fields(error=str(error)))
            await self._sleep(WINDOW_SECONDS)

    async def flush(self) -> None:
        """Store what has arrived.

        Raises:
            StoreUnavailable: The database does not answer; what has arrived is kept.
        """
        waiting, suppressed = list(self._waiting.values()), self._suppressed
        waiting += [self._summary(caller, count) for caller, count in suppressed.items()]
        if not waiting:
            return
        # What arrives meanwhile is of the next window, unless this one fails.
        self._waiting, self._rows, self._suppressed = {}, Counter(), Counter()
        self._arrived.clear()
        try:
            async with self._database.write() as transaction:
                for event in waiting:
                    await insert_event(transaction, event)
        except BaseException:
            # Whatever it is: a process that ends in the middle of this stores them with `close`.
            self._take_back(waiting, suppressed)
            raise
        for event in waiting:
            _say(event)

    async def close(self) -> None:
        """Store what has arrived before the process ends, if that can be done."""
        with contextlib.suppress(StoreUnavailable):
            await self.flush()

    async def sweep(self) -> None:
        """Forget, again and again until cancelled, what is older than the log is kept."""
        while True:
            try:
                await self.forget()
            except StoreUnavailable as error:
                _log.warning("old events stay for now", extra=log_fields(error=str(error)))
            await self._sleep(_SWEEP_SECONDS)

    async def forget(self) -> None:
        """Delete events that are too old, and refusals that are too many.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        horizon = self._clock() - self._retention_days * _DAY_MS
        for delete, bound in (
            (delete_events_before, horizon),
            (delete_refusals_beyond, KEEP_REFUSALS),
        ):
            deleted = _SWEEP_ROWS
            while deleted == _SWEEP_ROWS:
                async with self._database.write() as transaction:
                    deleted = await delete(transaction, bound, _SWEEP_ROWS)

    def _summary(self, caller: _Caller, suppressed: int) -> AuditEvent:
        refused = AuditEvent(self._clock(), *caller, SUPPRESSED, "", "", "", "")
        return replace(refused, outcome="UNKNOWN", http_status=0, count=suppressed)

    def _take_back(self, events: list[AuditEvent], suppressed: Counter[_Caller]) -> None:
        later = list(self._waiting.values())
        self._waiting = {_key(event): event for event in events if event.action != SUPPRESSED}
        self._rows = Counter(event.principal_id for event in self._waiting.values())
        self._suppressed += suppressed
        for event in later:
            self.refuse(event)
        self._arrived.set()


def _key(event: AuditEvent) -> _Key:
    """Return what refusals that are alike have in common."""
    alike = (event.principal_id, event.outcome, event.error_code, event.source_address)
    if not event.principal_id:
        return alike
    return (*alike, event.action, event.object_type, event.object_name)


def _say(event: AuditEvent) -> None:
    fields = asdict(event)
    fields.pop("id")
    _log.info("audit", extra=log_fields(**fields))
