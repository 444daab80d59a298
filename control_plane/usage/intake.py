"""Takes what workers report of queries into the usage ledger, and keeps the ledger in order.

Before: `intake_servicer`. After: `rows`, `store.usage.ledger`. Beside: `reader`, which
reads it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from modelserving.worker.v1.usage_service_pb2 import UsageEntry

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock, steady_clock
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.usage.ledger import (
    Model,
    close_lost,
    delete_origins_before,
    delete_rows_before,
    find_models,
    find_tags,
    note_journal,
    put_rows,
)
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS
from modelplane.control_plane.store.usage.totals import delete_totals_before
from modelplane.control_plane.usage.rows import build_rows

_log = logging.getLogger(__name__)
KEY_BYTES = 16
JOURNAL_ID_BYTES = 8
# Of a worker's signs of life, which come with every batch, those in between are not stored.
_NOTE_MS = 5_000
_SWEEP_SECONDS = 60.0
# By so much more or less than what passed, the time of day moves only when it is set.
_JUMP_MS = 5_000
_SWEEP_ROWS = 1_000
# Versions of endpoints that are remembered.
_MODELS = 10_000


class UsageIntake:
    """Writes the ledger; any number of replicas on one PostgreSQL write it together."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        retention_days: int,
        lost_seconds: float,
        steady: Clock = steady_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Write to `database`.

        Args:
            database: Where the ledger is.
            clock: Time.
            retention_days: Days that rows are kept.
            lost_seconds: Time without a sign of a worker after which its queries are given up.
            steady: Time that nobody can set, by which jumps of `clock` are seen.
            sleep: Waits for seconds.
        """
        self._database = database
        self._clock = clock
        self._retention_days = retention_days
        self._lost_ms = int(lost_seconds * 1000)
        self._sleep = sleep
        # Until then a worker may be silent because nobody listened.
        self._patient_until_ms = clock() + self._lost_ms
        # Nothing is deleted for its age until then.
        self._keep_all_until_ms = 0
        self._steady = steady
        self._ahead_ms = clock() - steady()
        # Models by served entity, of versions of endpoints: they never change.
        self._models: dict[tuple[str, int], Mapping[str, Model]] = {}
        # When the sign of life of each journal was last stored.
        self._noted: dict[bytes, int] = {}

    async def record(self, journal_id: bytes, entries: Sequence[UsageEntry]) -> None:
        """Store entries; what is stored already is left as it is.

        Raises:
            StoreUnavailable: The database does not answer; nothing was stored, or all was.
        """
        now_ms = self._clock()
        known = [entry for entry in entries if len(entry.key) == KEY_BYTES]
        is_news = now_ms - self._noted.get(journal_id, 0) >= _NOTE_MS
        async with self._database.write() as transaction:
            if known:
                tags = await find_tags(transaction, {entry.endpoint_id for entry in known})
                models = await self._find_models(transaction, known)
                await put_rows(transaction, *build_rows(known, tags, models, now_ms))
            if is_news:
                await note_journal(transaction, journal_id.hex(), now_ms)
        if is_news:
            self._noted[journal_id] = now_ms

    async def _find_models(
        self, transaction: Transaction, entries: Sequence[UsageEntry]
    ) -> Mapping[tuple[str, int], Mapping[str, Model]]:
        """Return the models of the versions of entries; what is known is not asked for again."""
        versions = {(entry.endpoint_id, entry.config_version) for entry in entries}
        if new := versions - self._models.keys():
            if len(self._models) + len(new) > _MODELS:
                self._models = {}
                new = versions
            self._models |= await find_models(transaction, new)
        return self._models

    async def run(self) -> None:
        """Keep the ledger in order until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailable as error:
                _log.warning("old usage stays for now", extra=log_fields(error=str(error)))
            await self._sleep(_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Close the queries of workers that are gone for good, and delete what is too old.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        now_ms = self._clock()
        self._notice_jump(now_ms)
        self._noted = {
            journal: noted for journal, noted in self._noted.items() if now_ms - noted < _NOTE_MS
        }
        if now_ms >= self._patient_until_ms:
            async with self._database.write() as transaction:
                closed = await close_lost(transaction, now_ms, self._lost_ms)
            if closed:
                _log.warning("queries of lost workers are closed", extra=log_fields(count=closed))
        if now_ms >= self._keep_all_until_ms:
            await self._delete_old(now_ms)

    def _notice_jump(self, now_ms: int) -> None:
        """Let nobody's queries be lost, and no row be old, by a time that was set just now.

        Workers that live are noted by the new time before it counts; what was set by mistake can
        be set back.
        """
        ahead_ms = now_ms - self._steady()
        if abs(ahead_ms - self._ahead_ms) > _JUMP_MS:
            _log.warning("the clock was set", extra=log_fields(by_ms=ahead_ms - self._ahead_ms))
            self._patient_until_ms = self._keep_all_until_ms = now_ms + self._lost_ms
            self._noted.clear()
        self._ahead_ms = ahead_ms

    async def _delete_old(self, now_ms: int) -> None:
        # Hours go whole, and the totals of what goes first.
        horizon = (now_ms - self._retention_days * DAY_MS) // HOUR_MS * HOUR_MS
        async with self._database.write() as transaction:
            await delete_totals_before(transaction, horizon)
        deleted = _SWEEP_ROWS
        while deleted == _SWEEP_ROWS:
            async with self._database.write() as transaction:
                deleted = await delete_rows_before(transaction, horizon, _SWEEP_ROWS)
        async with self._database.write() as transaction:
            await delete_origins_before(transaction, horizon - DAY_MS)
