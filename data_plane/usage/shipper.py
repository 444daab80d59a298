"""Sends the journal to the control plane and forgets what is committed there.

Before: `journal.py`. Also sends the journals of workers that died on this disk; their queries
without an outcome are closed as unknown. Everything may be sent more than once: the control plane
(`control_plane/usage/intake.py`) keeps one row for each key.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc
from modelserving.worker.v1 import usage_service_pb2
from modelserving.worker.v1.usage_service_pb2 import (
    RecordUsageRequest,
    UsageEntry,
    UsageOutcome,
)

from modelplane.adapters.shared.rpc.control_link import ControlLink, LinkDown
from modelplane.adapters.shared.rpc.varint import encode_varint
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.directories import DeadDirectory, take_over
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.usage.journal import Journal
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.journal_segment import Entry, Segment, SegmentReader

_log = logging.getLogger(__name__)
INTERVAL_SECONDS = 1.0
# The control plane learns as often that a worker with queries under way is alive.
SIGN_OF_LIFE_SECONDS = 15.0
TAKE_OVER_SECONDS = 10.0
BATCH = 2_000
# Entries that are read at once: a call waits as long.
_PIECE = 200
_REQUEST_BYTES = 1 << 20

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# Of all control planes together.
_CALL_SECONDS = 10.0
# At a stop, what is not sent by then is left to the next worker on this disk.
_FAREWELL_SECONDS = 3.0
_SERVICE = usage_service_pb2.DESCRIPTOR.services_by_name["UsageLedgerService"]
_METHOD = f"/{_SERVICE.full_name}/{_SERVICE.methods[0].name}"
# Of a field that holds messages.
_ENTRIES_TAG = bytes((RecordUsageRequest.ENTRIES_FIELD_NUMBER << 3 | 2,))
_UNKNOWN = UsageEntry(outcome=UsageOutcome(unknown=True)).SerializeToString()


class UsageSink(Protocol):
    """Takes batches of entries."""

    async def send(self, request: bytes) -> None:
        """Deliver an encoded `RecordUsageRequest`; returns when it is committed.

        Raises:
            LinkDown: It is not known to be.
        """


class GrpcUsageSink:
    """Hands batches to a control plane."""

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    async def send(self, request: bytes) -> None:
        """Deliver a request; see `UsageSink`."""

        def deliver(channel: grpc.aio.Channel, seconds: float) -> Awaitable[bytes]:
            # The messages are encoded already.
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            return call(request, timeout=seconds)

        await self._link.ask(deliver, _CALL_SECONDS)


@dataclass(slots=True)
class _Progress:
    """What is known of the queries of a segment that are under way.

    Attributes:
        seen: Keys that were already under way at the last look.
        told: Keys of which the control plane knows.
    """

    seen: set[bytes] = field(default_factory=set)
    told: set[bytes] = field(default_factory=set)


class _Batch:
    """Entries of one journal on their way.

    Attributes:
        request: An encoded `RecordUsageRequest`.
        count: Number of entries in it.
    """

    def __init__(self, journal_id: bytes) -> None:
        self.request = bytearray(RecordUsageRequest(journal_id=journal_id).SerializeToString())
        self.count = 0
        self._journal_id = journal_id

    def add(self, journal_id: bytes, entry: bytes) -> bool:
        """Add an entry; False if it belongs into another batch."""
        full = self.count >= BATCH or len(self.request) + len(entry) > _REQUEST_BYTES
        if journal_id != self._journal_id or (full and self.count):
            return False
        self.request += _ENTRIES_TAG + encode_varint(len(entry)) + entry
        self.count += 1
        return True


class UsageShipper:
    """Ships the journal of this process, and those of dead ones beside it."""

    def __init__(
        self, journal: Journal, root: Path, sink: UsageSink, clocks: Clocks, metrics: JournalMetrics
    ) -> None:
        """Ship to `sink`.

        Args:
            journal: The journal of this process.
            root: Directory of the journals of all workers on this disk.
            sink: Takes the entries.
            clocks: Time and chance.
            metrics: Told what becomes of them.
        """
        self._journal = journal
        self._root = root
        self._sink = sink
        self._clocks = clocks
        self._metrics = metrics
        self._unsent: deque[_Batch] = deque()
        self._progress: dict[Segment, _Progress] = {}
        self._sent_at = self._looked_at = float("-inf")

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            try:
                await self.sync()
                await self.ship()
                await self.take_over()
            except OSError as error:
                fields = log_fields(reason=str(error))
                _log.error("the journal cannot be read or written", extra=fields)
            except Exception as error:  # noqa: BLE001 - a bug with one batch must not end it all
                fields = log_fields(error=type(error).__name__)
                _log.error("the journal is not shipped for now", extra=fields)
            await self._clocks.sleep(INTERVAL_SECONDS)

    async def finish(self) -> None:
        """Ship what is left, within a short time; no query is under way any longer."""
        self._journal.seal()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self.ship()

    async def sync(self) -> None:
        """Bring what was written since the last time to the disk.

        Raises:
            OSError: The disk does not take it.
        """
        for segment in self._journal.segments:
            if not segment.is_synced:
                await asyncio.to_thread(segment.sync)

    async def ship(self) -> None:
        """Ship everything that has ended, tell of what has not, and forget what is shipped.

        Raises:
            OSError: The journal cannot be read.
        """
        await self._deliver()
        for segment in list(self._journal.segments):
            await self._ship_segment(segment)
        self._journal.forget()
        for gone in self._progress.keys() - set(self._journal.segments):
            del self._progress[gone]
        told = any(progress.told for progress in self._progress.values())
        if told and self._clocks.monotonic() - self._sent_at >= SIGN_OF_LIFE_SECONDS:
            await self._deliver_one(bytes(_Batch(self._journal.id).request))

    async def take_over(self) -> None:
        """Ship what dead workers left, if it is time to look for that.

        Raises:
            OSError: A journal cannot be read.
        """
        if self._clocks.monotonic() - self._looked_at < TAKE_OVER_SECONDS:
            return
        self._looked_at = self._clocks.monotonic()
        while dead := take_over(self._root):
            fields = log_fields(journal=dead.path.name)
            _log.warning("shipping the journal of a worker that died", extra=fields)
            try:
                await self._ship_dead(dead)
            except BaseException:
                dead.release()
                raise
            dead.remove()

    async def _ship_segment(self, segment: Segment) -> None:
        progress = self._progress.setdefault(segment, _Progress())
        # What comes while this is sent waits for the next time: few large batches cost less.
        end = segment.position
        while entries := segment.reader.read(_PIECE, end):
            self._keep(self._journal.id, map(_encode, entries))
            # Calls are answered in between.
            await asyncio.sleep(0)
        await self._deliver()
        under_way = segment.reader.unfinished
        news = [key for key in under_way if key in progress.seen and key not in progress.told]
        self._keep(self._journal.id, [under_way[key] for key in news])
        await self._deliver()
        progress.seen = set(under_way)
        progress.told = (progress.told | set(news)) & progress.seen

    async def _ship_dead(self, dead: DeadDirectory) -> None:
        for path in dead.files():
            with path.open("rb") as file:
                reader = SegmentReader(file.fileno())
                end = path.stat().st_size
                while entries := reader.read(_PIECE, end):
                    self._keep(dead.id, map(_encode, entries))
                    await asyncio.sleep(0)
                self._keep(dead.id, [one + _UNKNOWN for one in reader.unfinished.values()])
                await self._deliver()

    def _keep(self, journal_id: bytes, entries: Iterable[bytes]) -> None:
        """Add entries to what is to be sent: what was read from the journal is not read again."""
        for entry in entries:
            if not (self._unsent and self._unsent[-1].add(journal_id, entry)):
                self._unsent.append(_Batch(journal_id))
                self._unsent[-1].add(journal_id, entry)

    async def _deliver(self) -> None:
        """Send what is to be sent until it is committed."""
        while self._unsent:
            batch = self._unsent[0]
            await self._deliver_one(bytes(batch.request))
            self._unsent.popleft()
            self._metrics.shipped.inc(batch.count)

    async def _deliver_one(self, request: bytes) -> None:
        bound = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._sink.send(request)
                break
            except LinkDown as error:
                self._metrics.failures.inc()
                _log.warning("usage waits in the journal", extra=log_fields(reason=str(error)))
            await self._clocks.sleep(self._clocks.random.uniform(0, bound))
            bound = min(_LONGEST_PAUSE_SECONDS, bound * 2)
        self._sent_at = self._clocks.monotonic()


def _encode(entry: Entry) -> bytes:
    """Return an entry as a message: encoded messages that follow each other are one."""
    return (entry.intent or UsageEntry(key=entry.key).SerializeToString()) + entry.outcome
