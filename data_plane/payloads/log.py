"""Records the payloads of endpoints that have a table; others cost nothing.

Before: `../invocation.py`. After: `capture.py`, `journal.py`.
"""

import logging
from collections.abc import Callable
from itertools import count
from zlib import crc32

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.calls.record import CLIENT_CLOSED, Record
from modelplane.data_plane.errors import refusal_of
from modelplane.data_plane.payloads.capture import Capture
from modelplane.data_plane.payloads.journal import PayloadJournal, Place
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.payloads.signals import build_rows

_log = logging.getLogger(__name__)
MAX_BYTES = 1 << 20
_MS = 1000.0
_HASHES = 1 << 32


class PayloadLog:
    """Writes to a journal."""

    def __init__(
        self,
        journal: PayloadJournal,
        clock: Callable[[], float],
        wall_ms: Callable[[], float],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Write to `journal`.

        Args:
            journal: Takes rows.
            clock: Monotonic time, seconds.
            wall_ms: Wall time, milliseconds since the epoch.
            max_bytes: Longest request, and longest response, that is kept.
        """
        self._journal = journal
        self._clock = clock
        self._wall_ms = wall_ms
        self._max_bytes = max_bytes
        self._numbers = count(1)

    def open(self, record: Record, call: Call, raw: bytes | JsonObject) -> Capture | None:
        """Return what captures a call, if it is a query.

        Args:
            record: The call's, whose endpoint is known and has a table.
            call: The call.
            raw: What was asked, which whoever answers may change.
        """
        if call.method is not Method.QUERY:
            return None
        table = record.endpoint and record.endpoint.payloads
        return Capture(
            self,
            record,
            call,
            _encode(raw),
            self._max_bytes,
            is_sampled=not table or _is_sampled(record.request_id, table.sampling),
            redacts=bool(table and table.redacts),
        )

    @staticmethod
    def redact(record: Record, body: JsonObject) -> None:
        """Keep the request of a call as guardrails let it pass, where its table wants that.

        Args:
            record: The call's.
            body: The request in canonical form.
        """
        capture, guard = record.capture, record.guard
        table = record.endpoint and record.endpoint.payloads
        if table and table.redacts and isinstance(capture, Capture):
            capture.redact(body, changed=guard is not None and guard.has_changed)

    @staticmethod
    def reply(record: Record, reply: Reply) -> Reply:
        """Return a reply that notes what is answered to a call, if that is captured."""
        capture = record.capture
        return capture.reply(reply) if isinstance(capture, Capture) else reply

    def close(self, record: Record, call: Call, failure: Exception | None) -> None:
        """Write the row of a call that has ended, unless it is written.

        Args:
            record: The call's, whose endpoint has a table.
            call: The call.
            failure: Why there is no answer; None: there is one, or the caller is gone.
        """
        if call.method is not Method.QUERY:
            return
        capture = record.capture
        if not isinstance(capture, Capture):
            capture = Capture(self, record, call, None, self._max_bytes)
        if failure is not None:
            capture.refuse(refusal_of(failure, record.request_id))
        elif record.status == CLIENT_CLOSED:
            capture.cancel()
        else:
            capture.end()

    def write(self, capture: Capture, response: bytes | None) -> Place | None:
        """Write a row; see `capture.Sink`."""
        record = capture.record
        table = record.endpoint and record.endpoint.payloads
        if not table:
            return None
        errors = tuple(dict.fromkeys(capture.errors))
        facts = self._facts(record, capture.under_way, table.sampling)
        row = PayloadRow(table.location, facts, errors, capture.request, response)
        is_judged = record.court is not None and bool(record.court.waiting)
        return self._journal.append(row, amendable=is_judged)

    def amend(self, record: Record) -> None:
        """Put into a row that is written what judges have said since, for whom no caller waited."""
        capture, guard = record.capture, record.guard
        if isinstance(capture, Capture) and capture.place is not None and guard is not None:
            self._journal.amend(capture.place, {"guardrail_action": str(guard.verdict().action)})

    def tell(self, record: Record, call: Call) -> None:
        """Write what tables of telemetry get of a call that is closed.

        Args:
            record: The call's, whose endpoint has such tables.
            call: The call.
        """
        tables = record.endpoint and record.endpoint.telemetry
        if not tables or call.method is not Method.QUERY:
            return
        traceparent = call.metadata.get("traceparent", "")
        try:
            for row in build_rows(record, tables, traceparent, self._wall_ms(), self._clock()):
                self._journal.append(row)
        except Exception as error:  # noqa: BLE001 - a call may lose its rows, never its answer
            fields = log_fields(request_id=record.request_id, error=type(error).__name__)
            _log.warning("a call is not told in tables of telemetry", extra=fields)

    def _facts(self, record: Record, under_way: int, sampling: float) -> JsonObject:
        duration_ms = (self._clock() - record.started) * _MS
        labels, principal, config = record.labels, record.principal, record.config
        return {
            "databricks_request_id": record.request_id,
            "client_request_id": labels.client_request_id or None,
            "request_time": round(self._wall_ms() - duration_ms),
            "status_code": record.status,
            "sampling_fraction": sampling,
            "execution_duration_ms": round(duration_ms),
            "served_entity_id": record.entity.name if record.entity else None,
            "requester": principal.id if principal else None,
            "endpoint_name": record.endpoint.name if record.endpoint else None,
            "config_version": config.version if config else None,
            "invocation_id": f"{self._journal.id}{next(self._numbers):016x}",
            "attempts": len(record.attempts) + under_way,
            "request_tags": dict(labels.usage_context),
            "guardrail_action": str(record.guard.verdict().action) if record.guard else None,
        }


def _is_sampled(request_id: str, sampling: float) -> bool:
    """Tell whether a call is among those recorded: the same for all attempts of a client."""
    return sampling >= 1 or crc32(request_id.encode()) < sampling * _HASHES


def _encode(raw: bytes | JsonObject) -> bytes | None:
    if isinstance(raw, bytes):
        return raw
    try:
        return orjson.dumps(raw)
    except NestedTooDeeply:
        return None
