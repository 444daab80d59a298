"""Tables and the plot of the gateways."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.load import LoadResult
from bench.peers.measurement import CHUNKS, Case, Effort, Measured
from bench.peers.plot import draw
from bench.peers.table import measured_table, summary_table
from bench.report import Table

_EFFORT = Effort(seconds=1.0, warm_up_seconds=1.0, connections=(1, 16, 128))


def measured(gateway: str, case: Case) -> Measured:
    load = LoadResult(seconds=2.0, latencies=[0.001] * 100, failures=0, events=0)
    return Measured(gateway, case, cpu_seconds=0.05, load=load, peak_memory_mib=64.0)


def test_every_kind_of_load_is_measured_at_each_number_of_connections() -> None:
    cases = _EFFORT.cases()
    assert len(cases) == len(set(cases)) == 2 * 2 * 3
    assert len({case.content for case in cases if case.body == "100 kB"}.pop()) == 100_000


def test_cpu_time_is_told_for_each_request_and_for_each_chunk() -> None:
    unary = measured("one", Case(stream=False, body="small", connections=1))
    stream = measured("one", Case(stream=True, body="small", connections=1))
    assert unary.cpu_micros == pytest.approx(500)
    assert stream.cpu_micros == pytest.approx(500 / CHUNKS)
    rows = measured_table([unary, stream]).rows
    assert [row[4] for row in rows] == ["request", "chunk"]
    assert [row[5] for row in rows] == [50.0, 50.0]


def test_the_summary_has_a_row_for_each_gateway() -> None:
    all_measured = [measured(name, case) for name in ("one", "two") for case in _EFFORT.cases()]
    table = summary_table(all_measured, 16)
    assert [row[0] for row in table.rows] == ["one", "two"]
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    assert table.rows[0][1:4] == [pytest.approx(500), 50.0, pytest.approx(1.0)]


def test_the_plot_draws_each_value_as_long_as_it_is(tmp_path: Path) -> None:
    table = Table("t", ("gateway", "a & b", "c"), [("own", 1.0, 5.0), ("other", 4.0, 5.0)])
    file = tmp_path / "plot.svg"
    file.write_text(draw(table, ["a & b", "c"], "own"))
    bars = [
        (float(element.attrib["width"]), element.attrib["fill"])
        for element in ET.parse(file).iter()
        if element.tag.endswith("rect") and element.attrib["fill"] != "white"
    ]
    lengths = [length for length, _ in bars]
    assert lengths[1] == pytest.approx(4 * lengths[0])
    assert lengths[2] == lengths[3] == lengths[1]
    assert bars[0][1] != bars[1][1]
