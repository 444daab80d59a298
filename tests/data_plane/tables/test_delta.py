"""Delta tables as their readers find them, and a worker and a writer that are killed at random."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import deltalake
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables.delta import DeltaTables
from modelplane.data_plane.tables.maintenance import Maintenance
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.spool import Spool
from modelplane.data_plane.tables.writer import PayloadWriter
from modelplane.deploy.command.query import QueryError, ask
from modelplane.deploy.command.usage.parquet import SCHEMA, export
from tests.data_plane.fakes import FakeClock
from tests.effort import times

LOCATION = "main/logs/chat_payload"
MIRRORED = [
    ("databricks_request_id", "string"),
    ("request_date", "date"),
    ("client_request_id", "string"),
    ("request_time", "timestamp"),
    ("status_code", "integer"),
    ("sampling_fraction", "double"),
    ("execution_duration_ms", "long"),
    ("request", "string"),
    ("response", "string"),
    ("logging_error_codes", {"type": "array", "elementType": "string", "containsNull": True}),
    ("served_entity_id", "string"),
    ("requester", "string"),
]
OURS = ["endpoint_name", "config_version", "invocation_id", "attempts", "request_tags"]
OURS += ["guardrail_action"]
FACTS: dict[str, Any] = {
    "databricks_request_id": "r-1",
    "client_request_id": None,
    "request_time": 1_700_000_000_123,
    "status_code": 200,
    "sampling_fraction": 1.0,
    "execution_duration_ms": 12,
    "served_entity_id": "gpt-4",
    "requester": "id-admin",
    "endpoint_name": "chat",
    "config_version": 3,
    "invocation_id": "i-1",
    "attempts": 1,
    "request_tags": {"team": "a"},
    "guardrail_action": "masked",
}


def row(**facts: Any) -> PayloadRow:
    return PayloadRow(LOCATION, FACTS | facts, ("A", "B"), b'{"q": "\xc3\xa9\xff"}', None)


def test_a_table_has_the_mirrored_columns_in_their_order(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path), "w")
    tables.append(LOCATION, 1, [row(), row(request_time=1_700_100_000_000)])
    table = deltalake.DeltaTable(str(tmp_path / LOCATION))
    fields = [(field.name, field.type) for field in table.schema().fields]
    told = [(name, getattr(kind, "type", None) or kind) for name, kind in fields]
    assert [name for name, _ in told] == [name for name, _ in MIRRORED] + OURS
    found = json.loads(table.schema().to_json())["fields"]
    assert [(one["name"], one["type"]) for one in found][:12] == MIRRORED
    assert table.metadata().partition_columns == ["request_date"]
    [first, _] = ask(str(tmp_path), "select * from main.logs.chat_payload order by request_time")
    assert first["request_time"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert first["request_date"] == date(2023, 11, 14)
    assert first["request"] == '{"q": "é\ufffd"}'
    assert first["response"] is None
    assert first["logging_error_codes"] == ["A", "B"]
    assert first["request_tags"] == '{"team":"a"}'
    assert first["guardrail_action"] == "masked"
    # A reader that knows no Delta finds the rest of the columns in the files.
    [file, *_] = (tmp_path / LOCATION).rglob("*.parquet")
    assert pq.read_schema(file).names == [name for name, _ in told if name != "request_date"]


def test_a_batch_that_is_in_a_table_is_known_to_be(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path), "w")
    assert tables.committed(LOCATION) == 0
    tables.append(LOCATION, 7, [row()])
    assert tables.committed(LOCATION) == 7
    assert DeltaTables(str(tmp_path), "another").committed(LOCATION) == 0


def test_a_table_is_kept_in_order(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path), "w")
    days = (1_699_000_000_000, 1_700_000_000_000, 1_700_100_000_000)
    for number in range(12):
        tables.append(LOCATION, number + 1, [row(request_time=days[number % 3])])
    tables.maintain(LOCATION, date(2023, 11, 17), date(2023, 11, 10))
    assert ask(str(tmp_path), "select count(*) as n from main.logs.chat_payload") == [{"n": 8}]
    assert len(deltalake.DeltaTable(str(tmp_path / LOCATION)).file_uris()) == 2
    assert tables.committed(LOCATION) == 12
    tables.append(LOCATION, 13, [row()])
    assert tables.committed(LOCATION) == 13
    tables.maintain("main/logs/nothing_payload", date(2023, 11, 16), None)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select 1", "names no table"),
        ("select * from a.b.c", "there is no table"),
        ("select nothing from main.logs.chat_payload", "nothing"),
        ("select 'a.b.c' from", "names no table"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(tmp_path: Path, sql: str, words: str) -> None:
    DeltaTables(str(tmp_path), "w").append(LOCATION, 1, [row()])
    with pytest.raises(QueryError, match=words):
        ask(str(tmp_path), sql)


def test_a_query_may_name_tables_in_any_way(tmp_path: Path) -> None:
    DeltaTables(str(tmp_path), "w").append(LOCATION, 1, [row()])
    DeltaTables(str(tmp_path), "w").append("main/logs/my-chat_payload", 1, [row()])
    sql = (
        "select count(*) as n, 'main.logs.chat_payload' as t from Main.logs.chat_payload a "
        'join main.logs."my-chat_payload" b on a.invocation_id = b.invocation_id'
    )
    assert ask(str(tmp_path), sql) == [{"n": 1, "t": "main.logs.chat_payload"}]


WORKER = """
import asyncio, sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from modelplane.data_plane.payloads.journal import PayloadJournal
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import PayloadRow
import time
async def main():
    journal = PayloadJournal(Path(sys.argv[1]), PayloadMetrics(CollectorRegistry()),
        time.monotonic, max_bytes=1 << 30, segment_bytes=20_000, seal_seconds=0.2)
    background = asyncio.create_task(journal.run(lambda _: asyncio.sleep(0.02)))
    number = int(sys.argv[2])
    while True:
        number += 1
        facts = {"databricks_request_id": str(number), "request_time": 1_700_000_000_000}
        journal.append(PayloadRow(f"main/logs/t{number % 2}_payload", facts, (), b"q" * 300, b"a"))
        # As a caller who has the end of an answer.
        print(number, flush=True)
        await asyncio.sleep(0.001)
asyncio.run(main())
"""
WRITER = """
import sys
from modelplane.data_plane.tables import __main__ as writer
writer._INTERVAL_SECONDS = 0.02
sys.exit(writer.main(sys.argv[1:]))
"""


def test_a_query_may_join_usage(tmp_path: Path) -> None:
    DeltaTables(str(tmp_path), "w").append(LOCATION, 1, [row(), row(databricks_request_id="r-2")])
    used: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    used |= {"usage_context": {"team": "a"}, "endpoint_tags": {}, "guardrail_entities": {}}
    used |= {"guardrail_logged": {}}
    used |= {"databricks_request_id": "r-1", "input_token_count": 7}
    file = tmp_path / "usage.parquet"
    assert export([[used]], file) == 1
    sql = (
        "select u.usage_context['team'] as team, sum(u.input_token_count) as tokens, p.request "
        "from usage u join main.logs.chat_payload p using (databricks_request_id) group by 1, 3"
    )
    body = '{"q": "é\ufffd"}'
    assert ask(str(tmp_path), sql, usage=file) == [{"team": "a", "tokens": 7, "request": body}]
    assert ask(str(tmp_path), "select count(*) as n from usage", usage=file) == [{"n": 1}]
    with pytest.raises(QueryError, match="No such file"):
        ask(str(tmp_path), "select 1 from usage", usage=tmp_path / "nothing")
    with pytest.raises(QueryError, match="usage"):
        ask(str(tmp_path), "select 1 from usage u, main.logs.chat_payload")


def python(code: str) -> list[str]:
    """Return a command that runs code."""
    return [sys.executable, "-c", code]


def write_command(payloads: Path, root: Path | str) -> list[str]:
    """Return the command of a writer that is quick."""
    options = ["--payload-dir", str(payloads), "--tables-root", str(root)]
    options += ["--writer-metrics-listen", "127.0.0.1:0", "--log-level", "error"]
    return [*python(WRITER), *options]


def start_writer(payloads: Path, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(write_command(payloads, root))


def kill_worker(
    payloads: Path, first: int, seconds: float, worker_command: Sequence[str] = ()
) -> set[str]:
    """Let a worker record for some time and kill it; return what it has answered."""
    command = [*(worker_command or python(WORKER)), str(payloads), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        begun = worker.stdout.readline()
        time.sleep(seconds)
        worker.kill()
        # A number that was cut off was not read in full by anybody.
        told, _, _ = (begun + worker.stdout.read()).rpartition(b"\n")
    return set(told.decode().split())


def write_rest(payloads: Path, root: Path) -> None:
    """Write what is left as a writer does that is started once more."""
    spool = Spool(payloads, WriterMetrics(CollectorRegistry()), 1 << 30)
    tables = DeltaTables(str(root), spool.id)
    maintenance = Maintenance(spool.directory, lambda: 0.0, 0)
    PayloadWriter(spool, lambda: tables, FakeClock(), spool._metrics, maintenance).work()
    spool.close()


def test_killed_at_random_no_row_is_lost_nor_twice(tmp_path: Path) -> None:
    """Workers and writers die by SIGKILL; what workers had answered is in the tables, once."""
    chance = random.Random(7)
    payloads, root = tmp_path / "payloads", tmp_path / "tables"
    rounds = times(4, 60)
    answered: set[str] = set()
    writer = start_writer(payloads, root)
    try:
        for start in range(rounds):
            answered |= kill_worker(payloads, start * 1_000_000, chance.uniform(0.1, 0.6))
            time.sleep(chance.uniform(0, 0.5))
            writer.kill()
            writer.wait()
            writer = start_writer(payloads, root)
    finally:
        writer.kill()
        writer.wait()
    write_rest(payloads, root)
    written: list[str] = []
    for name in ("t0", "t1"):
        sql = f"select databricks_request_id as id from main.logs.{name}_payload"
        written += [one["id"] for one in ask(str(root), sql, limit=1 << 30)]
    assert len(written) == len(set(written))
    assert answered <= set(written)
    # Each worker may have died between a row and the word of it.
    assert len(written) - len(answered) <= rounds
    assert [path.name for path in payloads.iterdir()] == ["tables"]
