"""The outcome of `measurement.py` as tables."""

from collections.abc import Sequence
from statistics import median

from bench.peers.gateway import Gateway
from bench.peers.measurement import CHUNKS, LARGE, SMALL, STREAM, Case, Measured
from bench.report import Table
from bench.rounds import spread_of

# What the others are compared to, if it is there: what is governed to it governed.
REFERENCE = "TensorZero"


def measured_table(measured: Sequence[Measured], reference: str = REFERENCE) -> Table:
    """Return one row for each gateway in each case: medians of the rounds.

    Args:
        measured: All that was measured.
        reference: How the names begin of what the others are compared to.
    """
    columns = (
        *("case", "gateway", "CPU µs", "least", "most", "per", f"of {reference}'s"),
        *("requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPUs of others", "failures"),
    )
    rounds = max((len(one.samples) for one in measured), default=0)
    title = f"All processes of each gateway, medians of {rounds} alternating rounds"
    rows = [_row(one, _reference(one, measured, reference)) for one in measured]
    return Table(title, columns, rows)


def summary_table(
    measured: Sequence[Measured], connections: int, reference: str = REFERENCE
) -> Table:
    """Return what each gateway that got through costs at a number of connections."""
    columns = (
        *("gateway", "µs/request", f"of {reference}'s", "requests/s", "p99 ms"),
        *("µs/request, 100 kB", "µs/chunk", "peak MiB"),
    )
    needed = {Case(kind, connections) for kind in (SMALL, LARGE, STREAM)}
    names = [
        name
        for name in dict.fromkeys(one.gateway for one in measured)
        if needed <= {one.case for one in measured if one.gateway == name}
    ]
    rows = [_summary(name, measured, connections, reference) for name in names]
    title = f"Summary: {connections} connections; streams of {CHUNKS} chunks; peak of the whole run"
    return Table(title, columns, rows)


def settings_table(gateways: Sequence[Gateway]) -> Table:
    """Return how each gateway is run, and the page that documents it."""
    rows = [(gateway.name, gateway.setting, gateway.documentation) for gateway in gateways]
    return Table("Settings", ("gateway", "setting", "documentation"), rows)


def _reference(own: Measured, measured: Sequence[Measured], reference: str) -> Measured | None:
    """Return the reference in the same case, of the same kind where there is that."""
    found = [one for one in measured if one.case == own.case and one.gateway.startswith(reference)]
    return max(found, key=lambda one: one.governed == own.governed, default=None)


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


def _summary(
    name: str, measured: Sequence[Measured], connections: int, reference: str
) -> list[str | float]:
    own = {one.case: one for one in measured if one.gateway == name}
    small, large, stream = (own[Case(kind, connections)] for kind in (SMALL, LARGE, STREAM))
    loads = [sample.load for sample in small.samples]
    return [
        *(name, median(small.micros), _ratio(small, _reference(small, measured, reference))),
        *(median(load.rate for load in loads), median(load.p99 for load in loads) * 1000),
        *(median(large.micros), median(stream.micros)),
        max(one.peak_memory_mib for one in own.values()),
    ]
