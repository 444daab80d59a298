"""The outcome of `measurement.py` as tables."""

from collections.abc import Sequence
from statistics import median

from bench.peers.gateway import Gateway
from bench.peers.measurement import CHUNKS, LARGE, SMALL, STREAM, Case, Measured
from bench.report import Table
from bench.rounds import spread_of

# What the others are compared to, if it is there.
REFERENCE = "TensorZero"
_RATIO = f"of {REFERENCE}'s"
_COLUMNS = (
    *("case", "gateway", "CPU µs", "least", "most", "per", _RATIO),
    *("requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPUs of others", "failures"),
)


def measured_table(measured: Sequence[Measured]) -> Table:
    """Return one row for each gateway in each case: medians of the rounds."""
    rounds = max((len(one.samples) for one in measured), default=0)
    title = f"All processes of each gateway, medians of {rounds} alternating rounds"
    return Table(title, _COLUMNS, [_row(one, _reference(one.case, measured)) for one in measured])


def summary_table(measured: Sequence[Measured], connections: int) -> Table:
    """Return what each gateway that got through costs at a number of connections."""
    columns = (
        *("gateway", "µs/request", _RATIO, "requests/s", "p99 ms"),
        *("µs/request, 100 kB", "µs/chunk", "peak MiB"),
    )
    needed = {Case(kind, connections) for kind in (SMALL, LARGE, STREAM)}
    names = [
        name
        for name in dict.fromkeys(one.gateway for one in measured)
        if needed <= {one.case for one in measured if one.gateway == name}
    ]
    rows = [_summary(name, measured, connections) for name in names]
    title = f"Summary: {connections} connections; streams of {CHUNKS} chunks; peak of the whole run"
    return Table(title, columns, rows)


def settings_table(gateways: Sequence[Gateway]) -> Table:
    """Return how each gateway is run, and the page that documents it."""
    rows = [(gateway.name, gateway.setting, gateway.documentation) for gateway in gateways]
    return Table("Settings", ("gateway", "setting", "documentation"), rows)


def _reference(case: Case, measured: Sequence[Measured]) -> Measured | None:
    found = (one for one in measured if one.case == case and one.gateway.startswith(REFERENCE))
    return next(found, None)


def _ratio(one: Measured, reference: Measured | None) -> str | float:
    """Return the CPU time as a share of the reference's, the median of each round's."""
    if reference is None:
        return "-"
    return median(own / other for own, other in zip(one.micros, reference.micros, strict=True))


def _row(one: Measured, reference: Measured | None) -> list[str | float]:
    micros = spread_of(one.micros)
    loads = [sample.load for sample in one.samples]
    return [
        *(one.case.title, one.gateway, micros.median, micros.least, micros.most, one.case.per),
        *(_ratio(one, reference), median(load.rate for load in loads)),
        *(median(load.p50 for load in loads) * 1000, median(load.p99 for load in loads) * 1000),
        median(load.p99_9 for load in loads) * 1000,
        median(sample.others for sample in one.samples),
        str(sum(load.failures for load in loads)),
    ]


def _summary(name: str, measured: Sequence[Measured], connections: int) -> list[str | float]:
    own = {one.case: one for one in measured if one.gateway == name}
    small, large, stream = (own[Case(kind, connections)] for kind in (SMALL, LARGE, STREAM))
    loads = [sample.load for sample in small.samples]
    return [
        *(name, median(small.micros), _ratio(small, _reference(small.case, measured))),
        *(median(load.rate for load in loads), median(load.p99 for load in loads) * 1000),
        *(median(large.micros), median(stream.micros)),
        max(one.peak_memory_mib for one in own.values()),
    ]
