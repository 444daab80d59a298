"""Rows of which something is known later: it is put behind them, unless they have left."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.telemetry_pb2 import TelemetryConfig, UnityCatalogTableNames
from prometheus_client import CollectorRegistry

from modelplane.data_plane.payloads.journal import AMENDING_SECONDS, PayloadJournal
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import (
    AMENDMENT_BYTES,
    PayloadRow,
    encode_amendment,
    read_rows,
)
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.spool import Spool
from tests.data_plane.fakes import FakeClock
from tests.data_plane.guardrails.pipeline import Json, Pipeline, chat_answer, chat_chunks
from tests.data_plane.guardrails.test_calls import INVOCATIONS, asking
from tests.data_plane.guardrails.test_judges import GUARD, UNSAFE
from tests.data_plane.payloads.journal_files import names_in, rows_below

SEGMENT = 100_000
TABLES = TelemetryConfig(table_names=UnityCatalogTableNames(logs_table="main.logs.chat"))
WOULD: Json = {"guardrail_action": "would_block"}


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> PayloadJournal:
    metrics = PayloadMetrics(CollectorRegistry())
    return PayloadJournal(tmp_path, metrics, clock, max_bytes=1 << 30, segment_bytes=SEGMENT)


def row(number: int, body: bytes = b"q") -> PayloadRow:
    return PayloadRow("t", {"number": number, "guardrail_action": "none"}, (), body, body)


def actions(rows: list[PayloadRow]) -> list[tuple[object, object]]:
    return [(one.facts["number"], one.facts["guardrail_action"]) for one in rows]


@given(st.lists(st.sampled_from(["plain", "open", "amended", "torn"]), max_size=6))
def test_a_row_has_what_was_put_behind_it(sorts: list[str]) -> None:
    data = b""
    for number, sort in enumerate(sorts):
        data += row(number).encode()
        if sort != "plain":
            amendment = encode_amendment(WOULD).ljust(AMENDMENT_BYTES, b"\0")
            keep = {"open": 0, "amended": AMENDMENT_BYTES, "torn": 30}[sort]
            data += amendment[:keep].ljust(AMENDMENT_BYTES, b"\0")
    told = ["would_block" if sort == "amended" else "none" for sort in sorts]
    assert actions(list(read_rows(data))) == list(enumerate(told))


async def test_a_segment_waits_for_what_is_known_later_but_not_for_long(
    journal: PayloadJournal, tmp_path: Path, clock: FakeClock
) -> None:
    places = [journal.append(row(number), amendable=number > 0) for number in range(3)]
    _, first, second = places
    assert places[0] is None
    assert first
    assert second
    clock.now += 31
    journal.seal_old()
    await journal.pack()
    assert not any(name.endswith(".ready") for name in names_in(journal._path))
    # Others go on meanwhile.
    journal.append(row(3))
    journal.amend(first, WOULD)
    clock.now += AMENDING_SECONDS
    await journal.pack()
    assert sum(name.endswith(".ready") for name in names_in(journal._path)) == 1
    # The second has left, and stays as it was.
    journal.amend(second, WOULD)
    told = [(0, "none"), (1, "would_block"), (2, "none"), (3, "none")]
    assert sorted(actions(rows_below(tmp_path)), key=str) == told
    await journal.finish()
    assert sorted(actions(rows_below(tmp_path)), key=str) == told


async def test_what_all_is_known_of_leaves_at_once(
    journal: PayloadJournal, tmp_path: Path, clock: FakeClock
) -> None:
    place = journal.append(row(0), amendable=True)
    clock.now += 31
    journal.seal_old()
    assert place
    journal.amend(place, WOULD)
    await journal.pack()
    assert any(name.endswith(".ready") for name in names_in(journal._path))
    assert actions(rows_below(tmp_path)) == [(0, "would_block")]
    await journal.finish()


async def test_rows_and_what_is_put_behind_them_fill_segments_exactly(
    journal: PayloadJournal, tmp_path: Path
) -> None:
    body = b"x" * (SEGMENT // 8)
    places = [journal.append(row(number, body), amendable=True) for number in range(20)]
    for place in places:
        assert place
        journal.amend(place, WOULD)
    await journal.finish()
    assert actions(rows_below(tmp_path)) == [(number, "would_block") for number in range(20)]


async def test_a_writer_takes_the_row_as_it_was_amended(
    journal: PayloadJournal, tmp_path: Path
) -> None:
    place = journal.append(row(0), amendable=True)
    journal.append(row(1), amendable=True)
    assert place
    journal.amend(place, WOULD)
    await journal.finish()
    spool = Spool(tmp_path, WriterMetrics(CollectorRegistry()), 1 << 30)
    assert spool.take()
    [[queued]] = spool.queues()
    assert actions(queued.read()[0]) == [(0, "would_block"), (1, "none")]
    spool.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_verdict_that_no_caller_waits_for_comes_into_the_row(
    journal: PayloadJournal,
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stream: bool,
) -> None:
    pipeline, comes = Pipeline(), asyncio.Event()
    pipeline.provider.say(chat_answer({"content": "Fine."}))
    pipeline.provider.verdicts = [UNSAFE]
    if stream:
        pipeline.provider.stream(chat_chunks([{"content": "Fine."}]))
    send = pipeline.provider.send

    async def wait(request: object, *rest: object) -> object:
        if b"guard-model" in request.body:  # type: ignore[attr-defined]
            await comes.wait()
        return await send(request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.provider, "send", wait)
    log = PayloadLog(journal, clock, lambda: 1_700_000_000_000.0)
    monkeypatch.setattr(pipeline.inference, "_payloads", log)
    policy = {"name": "p", "judge": GUARD, "mode": "log", "phases": ["output"]}
    pipeline.guard(policies=[policy], telemetry_config=TABLES)
    wire = await pipeline.post(INVOCATIONS, asking("Hi", stream=stream))
    assert wire.status == 200
    # The row is there before the verdict is, and so whatever becomes of the worker.
    [row] = rows_below(tmp_path)
    assert row.facts["guardrail_action"] == "none"
    assert b"Fine." in (row.response or b"")
    comes.set()
    await pipeline.inference.finish(120)
    row, told = rows_below(tmp_path)
    assert row.facts["guardrail_action"] == "would_block"
    assert (told.kind, row.kind) == ("logs", "")
    assert "modelplane.guardrail_action" in str(told.facts)
    assert "would_block" in str(told.facts)
    await journal.finish()
