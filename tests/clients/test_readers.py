"""DuckDB and Polars read tables as the documents say, with no package of ours beside them."""

import json
from datetime import date
from pathlib import Path

import pytest

from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables.delta import DeltaTables
from tests.clients.environments import python_home, run
from tests.data_plane.tables.test_delta import LOCATION, row
from tests.data_plane.tables.test_signals import SPANS

pytestmark = pytest.mark.timeout(1300)
_SECONDS = 120.0
_PROGRAM = Path(__file__).parent / "python" / "readers_client.py"


def test_duckdb_and_polars(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path), "w")
    tables.append(LOCATION, 1, [row(), row(status_code=400, databricks_request_id="r-2")])
    # What was deleted no reader finds.
    tables.append(LOCATION, 2, [row(request_time=1_600_000_000_000)])
    tables.maintain(LOCATION, date(2023, 11, 16), date(2023, 1, 1))
    tables.append("main/otel/spans", 1, [PayloadRow("main/otel/spans", SPANS, kind="spans")])
    python = str(python_home("readers.txt") / "bin" / "python")
    told = json.loads(run([python, str(_PROGRAM), str(tmp_path)], tmp_path, _SECONDS))
    assert told["stream"] == [[2, 200, '{"q": "é\ufffd"}']]
    assert told["json"] == [["é\ufffd", 2]]
    assert told["files"] == [[1]]
    assert sorted(told["map"], key=str) == [["chat"], [None]]
    assert told["polars"] == ["r-2"]
    assert told["polars spans"] == ["chat chat", "chat gpt-4"]
