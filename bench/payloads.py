"""Measures payload tables: what recording costs a worker, and what the writer takes."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry

from bench.report import Row, Table, table_of
from modelplane.adapters.shared.telemetry_tables import Kind
from modelplane.data_plane.payloads.journal import PayloadJournal
from modelplane.data_plane.payloads.merging import ChunkMerger
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.payloads.signals import build_rows
from modelplane.data_plane.tables.delta import DeltaTables
from modelplane.data_plane.tables.maintenance import Maintenance
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.spool import Spool
from modelplane.data_plane.tables.writer import PayloadWriter
from tests.data_plane.guardrails.pipeline import Pipeline, chat_answer, chat_chunks
from tests.data_plane.guardrails.test_calls import asking

_LOCATION = "main/logs/bench_payload"
_SIZES = {"500 B": 500, "100 kB": 100_000}
_MAX_BYTES = 4 << 30
_ROUNDS = 5
_CHUNKS = 1_000
_TABLES = {Kind.LOGS: "a/b/l", Kind.METRICS: "a/b/m", Kind.SPANS: "a/b/s"}
_WALL_MS = 1_700_000_000_000.0
_SENTENCE = "The quick brown fox jumps over 12 lazy dogs, and nobody knows why it does (yet). "


async def measure(rows: int) -> Table:
    """Return the costs of so many rows with small bodies, and of a hundredth with large ones."""
    found: list[Row] = []
    for name, size in _SIZES.items():
        count = rows if size < max(_SIZES.values()) else rows // 100
        with TemporaryDirectory(prefix="modelplane-bench-") as directory:
            found += await _measure(Path(directory), name, size, count)
    return table_of("Payload tables", [*found, _merge(), await _tell(rows // _ROUNDS)])


async def _measure(directory: Path, name: str, size: int, count: int) -> list[Row]:
    journal = _journal(directory)
    body = (_SENTENCE * (size // len(_SENTENCE) + 1))[:size].encode()

    def append(number: int) -> None:
        facts = {"databricks_request_id": str(number), "request_time": 1_700_000_000_000}
        journal.append(PayloadRow(_LOCATION, facts, (), body, body))

    append_us = min(_micros(append, count // _ROUNDS) for _ in range(_ROUNDS))
    await journal.finish()
    metrics = WriterMetrics(CollectorRegistry())
    spool = Spool(directory / "payloads", metrics, _MAX_BYTES)
    tables = DeltaTables(str(directory / "tables"), spool.id)
    maintenance = Maintenance(spool.directory, lambda: 0.0, 0)
    writer = PayloadWriter(spool, lambda: tables, time.monotonic, metrics, maintenance)
    started = time.process_time()
    await asyncio.to_thread(writer.work)
    write_us = (time.process_time() - started) / count * 1e6
    spool.close()
    return [
        Row(f"worker records a call, bodies of {name}", append_us, "µs"),
        Row(f"writer appends it to the table, bodies of {name}", write_us, "µs"),
    ]


async def _tell(count: int) -> Row:
    """Return what it costs a worker to record a call for three tables of telemetry."""
    pipeline = Pipeline()
    pipeline.provider.say(chat_answer({"content": "Fine."}))
    pipeline.guard()
    await pipeline.post("/serving-endpoints/chat/invocations", asking("Hi"))
    [record] = pipeline.ledger.records
    with TemporaryDirectory(prefix="modelplane-bench-") as directory:
        journal = _journal(Path(directory))

        def tell(_: int) -> None:
            for row in build_rows(record, _TABLES, "", _WALL_MS, record.ended):
                journal.append(row)

        each = min(_micros(tell, count) for _ in range(_ROUNDS))
        await journal.finish()
    return Row("worker records a call in three tables of telemetry", each, "µs")


def _journal(directory: Path) -> PayloadJournal:
    return PayloadJournal(
        directory / "payloads",
        PayloadMetrics(CollectorRegistry()),
        time.monotonic,
        max_bytes=_MAX_BYTES,
        segment_bytes=16 << 20,
        seal_seconds=0.1,
    )


def _merge() -> Row:
    chunks = chat_chunks([{"content": "words "}] * _CHUNKS)
    encoded = [json.dumps(chunk).encode() for chunk in chunks]

    def merge(_: int) -> None:
        merger = ChunkMerger()
        for chunk, text in zip(chunks, encoded, strict=True):
            merger.add(chunk, text)
        merger.finish()

    each = min(_micros(merge, 3) for _ in range(_ROUNDS)) / len(chunks)
    return Row("worker merges a chunk of a stream", each, "µs")


def _micros(work: Callable[[int], None], count: int) -> float:
    """Return the CPU time of one call, microseconds."""
    started = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - started) / count * 1e6
