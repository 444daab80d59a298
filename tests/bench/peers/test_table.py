"""Tables and the plot of the gateways."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.grpc_load import TypedCall
from bench.load import LoadResult
from bench.mock_provider import Counts
from bench.peers.__main__ import _GATEWAYS
from bench.peers.gateway import Target
from bench.peers.measurement import (
    LARGE,
    SMALL,
    STREAM,
    TYPED,
    Case,
    Effort,
    Measured,
)
from bench.peers.plot import draw
from bench.peers.table import REFERENCE, measured_table, summary_table
from bench.report import Table
from bench.rounds import Sample

_EFFORT = Effort(rounds=3, seconds=1, connections=(1, 16, 128))
_OTHER = f"{REFERENCE} 1.0"


def measured(gateway: str, case: Case, *cpu_seconds: float) -> Measured:
    load = LoadResult(2.0, 100, failures=1, p50=0.001, p99=0.002, p99_9=0.003)
    served = Counts(requests=100, chunks=5000)
    used = cpu_seconds or (0.05, 0.04, 0.09)
    samples = [Sample(load, {"all": seconds}, served, others=0.25) for seconds in used]
    return Measured(gateway, case, samples, peak_memory_mib=64.0)


def test_every_kind_of_load_is_measured_at_each_number_of_connections() -> None:
    cases = _EFFORT.cases()
    assert len(cases) == len(set(cases)) == len({case.title for case in cases}) == 3 * 3 + 2 + 1
    assert [case.share for case in cases if case.share] == [0.5, 0.8]


@pytest.mark.parametrize(
    ("scaling", "typed", "kinds"),
    [
        (False, False, {SMALL, LARGE, STREAM}),
        (False, True, {SMALL, LARGE, STREAM, TYPED}),
        (True, True, {SMALL, STREAM}),
    ],
)
def test_a_gateway_is_measured_in_the_cases_that_suit_it(
    *, scaling: bool, typed: bool, kinds: set[str]
) -> None:
    gateway = replace(_GATEWAYS[0], scaling=scaling)
    call = TypedCall("127.0.0.1:1", "bench", "Bearer t") if typed else None
    target = Target("http://127.0.0.1:1", pid=1, typed=call)
    chosen = [case for case in _EFFORT.cases() if case.suits(gateway, target)]
    assert {case.kind for case in chosen} == kinds
    assert any(case.share for case in chosen) is not scaling


def test_cpu_time_is_told_for_each_request_and_for_each_chunk() -> None:
    unary = measured("one", Case(SMALL, 1))
    stream = measured("one", Case(STREAM, 1))
    rows = measured_table([unary, stream]).rows
    assert [row[5] for row in rows] == ["request", "chunk"]
    assert [[round(float(cell), 6) for cell in row[2:5]] for row in rows] == [
        [500, 400, 900],
        [10, 8, 18],
    ]
    # There is nothing to compare them to.
    assert [row[6] for row in rows] == ["-", "-"]
    assert rows[0][7:] == [50.0, 1.0, 2.0, 3.0, 0.25, "3"]


def test_a_gateway_is_compared_to_the_reference_within_each_round() -> None:
    # The machine is slower by half in the second round.
    case = Case(SMALL, 16)
    one = measured("one", case, 0.02, 0.03, 0.04)
    other = measured(_OTHER, case, 0.01, 0.015, 0.01)
    ratios = [row[6] for row in measured_table([one, other]).rows]
    assert ratios == [pytest.approx(2.0), pytest.approx(1.0)]


def test_what_is_governed_is_compared_to_the_reference_governed() -> None:
    case = Case(SMALL, 16)
    bare = measured(_OTHER, case, 0.01)
    governed = replace(measured(f"{_OTHER}, governed", case, 0.08), governed=True)
    own = measured("own", case, 0.02)
    own_governed = replace(own, gateway="own, governed", governed=True)
    rows = measured_table([bare, governed, own, own_governed]).rows
    assert [row[6] for row in rows] == [1.0, 1.0, pytest.approx(2.0), pytest.approx(0.25)]
    # Against an earlier commit, which is the reference then.
    rows = measured_table([own, own_governed], "own").rows
    assert [row[6] for row in rows] == [1.0, 1.0]


def test_the_summary_has_a_row_for_each_gateway_that_is_measured_in_every_case() -> None:
    names = ("one", _OTHER)
    all_measured = [measured(name, case) for name in names for case in _EFFORT.cases()]
    failed = [measured("failed", Case(kind, 16)) for kind in (SMALL, LARGE)]
    several = measured("several workers", Case(SMALL, 16))
    table = summary_table([*all_measured, several, *failed], 16)
    assert [row[0] for row in table.rows] == list(names)
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    assert table.rows[0][1:5] == [pytest.approx(500), pytest.approx(1), 50.0, 2.0]


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
