"""Takes what workers report of queries into the usage ledger, and keeps the ledger in order.

Before: `usage_intake_servicer`. After: `store.usage_store`. Beside: `usage`, which reads it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from uuid import NAMESPACE_OID, uuid5

import orjson
from modelserving.snapshot.v1.usage_service_pb2 import UsageEntry, UsageOutcome

from adapters.telemetry import log_fields
from control_plane.clock import Clock
from control_plane.errors import StoreUnavailable
from control_plane.store.database import Database
from control_plane.store.usage_store import (
    UsageValues,
    close_lost,
    delete_rows_before,
    find_tags,
    note_journal,
    put_rows,
)
from control_plane.store.usage_tables import UsageState

_log = logging.getLogger(__name__)
KEY_BYTES = 16
JOURNAL_ID_BYTES = 8


_COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_NO_OUTCOME: UsageValues = {
    "status_code": None,
    "error": "",
    **dict.fromkeys(_COUNTS),
    "estimated": False,
    "output_characters": 0,
    "latency_ms": None,
    "first_chunk_ms": None,
    "attempts_json": "[]",
}
_DAY_MS = 86_400_000
_SWEEP_SECONDS = 60.0
_SWEEP_ROWS = 1_000


class UsageIntake:
    """Writes the ledger; any number of replicas on one PostgreSQL write it together."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        retention_days: int,
        lost_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Write to `database`.

        Args:
            database: Where the ledger is.
            clock: Time.
            retention_days: Days that rows are kept.
            lost_seconds: Time without a sign of a worker after which its queries are given up.
            sleep: Waits for seconds.
        """
        self._database = database
        self._clock = clock
        self._retention_days = retention_days
        self._lost_ms = int(lost_seconds * 1000)
        self._sleep = sleep
        # Until then a worker may be silent because nobody listened.
        self._patient_until_ms = clock() + self._lost_ms

    async def record(self, journal_id: bytes, entries: Sequence[UsageEntry]) -> None:
        """Store entries; what is stored already is left as it is.

        Raises:
            StoreUnavailable: The database does not answer; nothing was stored, or all was.
        """
        is_postgresql = self._database.is_postgresql
        known = [entry for entry in entries if len(entry.key) == KEY_BYTES]
        async with self._database.write() as transaction:
            if known:
                endpoint_ids = {entry.endpoint_id for entry in known}
                tags = await find_tags(transaction.session, endpoint_ids)
                journal = journal_id.hex()
                rows = [_row(journal, entry, tags) for entry in known]
                await put_rows(transaction, rows, is_postgresql=is_postgresql)
            await note_journal(
                transaction, journal_id.hex(), self._clock(), is_postgresql=is_postgresql
            )

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
        if now_ms >= self._patient_until_ms:
            async with self._database.write() as transaction:
                closed = await close_lost(transaction, now_ms - self._lost_ms)
            if closed:
                _log.warning("queries of lost workers are closed", extra=log_fields(count=closed))
        horizon = now_ms - self._retention_days * _DAY_MS
        deleted = _SWEEP_ROWS
        while deleted == _SWEEP_ROWS:
            async with self._database.write() as transaction:
                deleted = await delete_rows_before(transaction, horizon, _SWEEP_ROWS)


@lru_cache(maxsize=10_000)
def served_entity_id(endpoint_id: str, config_version: int, name: str) -> str:
    """Return the identifier of a served entity in one version of a configuration."""
    return uuid5(NAMESPACE_OID, f"{endpoint_id}/{config_version}/{name}").hex


def _row(journal: str, entry: UsageEntry, tags: Mapping[str, str]) -> UsageValues:
    """Return the columns of a query: plain values, since objects of the table cost far more."""
    outcome = entry.outcome
    name = outcome.served_entity_name or entry.served_entity_name
    state = _state(entry)
    return {
        "id": entry.key.hex(),
        "journal_id": journal,
        "state": state.value,
        "request_id": _text(entry.request_id),
        "client_request_id": _text(entry.client_request_id),
        "usage_context_json": _context(entry),
        "time_ms": entry.time_ms,
        "endpoint_id": _text(entry.endpoint_id),
        "endpoint_name": _text(entry.endpoint_name),
        "tags_json": tags.get(entry.endpoint_id, "[]"),
        "config_version": entry.config_version,
        "served_entity_id": served_entity_id(entry.endpoint_id, entry.config_version, name),
        "served_entity_name": _text(name),
        "task": _text(entry.task),
        "requester_id": _text(entry.requester_id),
        "requester": _text(entry.requester),
        "streaming": entry.streaming,
        "input_characters": entry.input_characters,
        **(_outcome(outcome) if state is UsageState.ENDED else _NO_OUTCOME),
    }


def _outcome(outcome: UsageOutcome) -> UsageValues:
    return {
        "status_code": outcome.status_code,
        "error": _text(outcome.error),
        **{name: _known(outcome, name) for name in _COUNTS},
        "estimated": outcome.estimated,
        "output_characters": outcome.output_characters,
        "latency_ms": outcome.latency_ms,
        "first_chunk_ms": _known(outcome, "first_chunk_ms"),
        "attempts_json": _attempts(outcome),
    }


def _known(outcome: UsageOutcome, name: str) -> object:
    given = outcome.HasField(name)  # type: ignore[arg-type] # wants a literal
    return getattr(outcome, name) if given else None


def _state(entry: UsageEntry) -> UsageState:
    if not entry.HasField("outcome"):
        return UsageState.RUNNING
    return UsageState.UNKNOWN if entry.outcome.unknown else UsageState.ENDED


def _context(entry: UsageEntry) -> str:
    if not entry.usage_context:
        return "{}"
    context = {_text(key): _text(value) for key, value in entry.usage_context.items()}
    return orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode()


def _attempts(outcome: UsageOutcome) -> str:
    if not outcome.attempts:
        return "[]"
    attempts: Iterable[dict[str, object]] = (
        {
            "served_entity_name": _text(attempt.served_entity_name),
            "error": _text(attempt.error),
            "latency_ms": round(attempt.latency_ms, 3),
        }
        for attempt in outcome.attempts
    )
    return orjson.dumps(list(attempts)).decode()


def _text(value: str) -> str:
    """Return a text as PostgreSQL takes it; one entry that it refuses would hold up all others."""
    return value.replace("\0", "")
