"""Measures the usage ledger: what a query costs a worker, and what the control plane can store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, UsageTrackingConfig
from modelserving.worker.v1.usage_service_pb2 import RecordUsageRequest
from prometheus_client import CollectorRegistry

from bench.report import Row, Table, table_of
from modelplane.adapters.providers.types import Query, Usage
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.process import new_clocks, wall_ms
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.compilation import compile_endpoint
from modelplane.data_plane.snapshots.snapshot import Endpoint
from modelplane.data_plane.usage.journal import Journal
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.ledger import UsageLedger
from modelplane.data_plane.usage.shipper import UsageShipper
from tests.data_plane.messages import endpoint, endpoint_config, external_entity

_JOURNAL_GOAL = "9"
_SHIPPING_GOAL = "5"
_STORE_GOAL = "20"
_RATE_GOAL = "10,000"
_QUERY = Query({"messages": [{"role": "user", "content": "Say hello."}]}, stream=False)
_MAX_BYTES = 1 << 30
# What else runs on the machine adds to some of them; the least says what it costs.
_ROUNDS = 5


class _Sink:
    """Keeps what is shipped."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def send(self, request: bytes) -> None:
        self.requests.append(request)


async def measure(queries: int) -> Table:
    """Return the costs of so many queries."""
    rows = []
    with TemporaryDirectory(prefix="modelplane-bench-") as name, _journal(Path(name)) as journal:
        clocks, sink = new_clocks(), _Sink()
        ledger = UsageLedger(journal, clocks.monotonic, wall_ms)
        metrics = JournalMetrics(CollectorRegistry())
        shipper = UsageShipper(journal, Path(name), sink, clocks, metrics)
        for label, tracked, goal in (
            ("journal, usage tracked", True, _JOURNAL_GOAL),
            ("journal, usage not tracked", False, ""),
        ):
            record = _record(tracked=tracked)
            spent = min(_write(ledger, record, queries) for _ in range(_ROUNDS))
            rows.append(Row(label, spent / queries * 1e6, "CPU µs/query", goal))
        started = time.process_time()
        await shipper.ship()
        spent = time.process_time() - started
        written = queries * _ROUNDS
        cost = spent / written * 1e6
        rows.append(Row("shipping, without gRPC", cost, "CPU µs/query", _SHIPPING_GOAL))
        rate, cost = await _store(Path(name), sink.requests, written)
        rows.append(Row("control plane, SQLite", cost, "CPU µs/query", _STORE_GOAL))
        rows.append(Row("control plane, SQLite", rate, "rows/s", _RATE_GOAL))
    return table_of("Usage ledger", rows)


@contextmanager
def _journal(root: Path) -> Iterator[Journal]:
    metrics = JournalMetrics(CollectorRegistry())
    journal = Journal(root / "journal", metrics, time.monotonic, max_bytes=_MAX_BYTES)
    yield journal
    journal.close()


def _record(*, tracked: bool) -> Record:
    tracking = AiGatewayConfig(usage_tracking_config=UsageTrackingConfig(enabled=tracked))
    config = endpoint_config(external_entity("gpt-4", openai_api_key_plaintext="sk-bench"))
    compiled: Endpoint
    compiled, failure = compile_endpoint(
        endpoint("chat", config, ai_gateway=tracking),
        None,
        Random(1),
    )
    assert failure is None
    assert compiled.active
    record = Record("00000000-0000-4000-8000-000000000000", time.monotonic())
    record.principal = Principal("123456789", "someone@example.com")
    record.endpoint, record.config = compiled, compiled.active
    record.entity = compiled.active.entities[0]
    record.usage = Usage(9, 12)
    record.attempts = [Attempt("gpt-4", "", 0.5)]
    record.output_characters = 40
    return record


def _write(ledger: UsageLedger, record: Record, queries: int) -> float:
    """Return the CPU seconds of `queries` intents and outcomes."""
    started = time.process_time()
    for _ in range(queries):
        record.ticket = None
        ledger.begin(record, _QUERY)
        ledger.end(record)
    return time.process_time() - started


async def _store(directory: Path, requests: list[bytes], queries: int) -> tuple[float, float]:
    """Return how many rows a second the control plane stores, and the CPU µs of each."""
    database = Database(f"sqlite:///{directory / 'bench.db'}")
    try:
        await migrate(database)
        intake = UsageIntake(database, system_clock, retention_days=90, lost_seconds=600)
        started, spent = time.monotonic(), time.process_time()
        for data in requests:
            request = RecordUsageRequest.FromString(data)
            await intake.record(request.journal_id, request.entries)
        cost = (time.process_time() - spent) / queries * 1e6
        return queries / (time.monotonic() - started), cost
    finally:
        await database.aclose()
