"""The outcome of `measurement.py` as tables."""

from collections.abc import Sequence

from bench.peers.gateway import Gateway
from bench.peers.measurement import CHUNKS, Measured
from bench.report import Table

_COLUMNS = (
    *("gateway", "case", "connections", "CPU µs", "per", "requests/s"),
    *("p50 ms", "p95 ms", "p99 ms", "peak MiB", "failures"),
)


def measured_table(measured: Sequence[Measured]) -> Table:
    """Return one row for each case of each gateway."""
    return Table("Gateways in turn, all their processes", _COLUMNS, [_row(one) for one in measured])


def summary_table(measured: Sequence[Measured], connections: int) -> Table:
    """Return one row for each gateway, with what it costs at a number of connections."""
    columns = (
        "gateway",
        *("µs/request", "requests/s", "p99 ms", "µs/request, 100 kB", "µs/chunk", "peak MiB"),
    )
    names = list(dict.fromkeys(one.gateway for one in measured))
    rows = [_summary(name, measured, connections) for name in names]
    title = f"Summary: {connections} connections; streams of {CHUNKS} chunks; peak of the whole run"
    return Table(title, columns, rows)


def settings_table(gateways: Sequence[Gateway]) -> Table:
    """Return how each gateway is run, and the page that documents it."""
    rows = [(gateway.name, gateway.setting, gateway.documentation) for gateway in gateways]
    return Table("Settings", ("gateway", "setting", "documentation"), rows)


def _row(one: Measured) -> list[str | float]:
    load = one.load
    return [
        *(one.gateway, one.case.title, str(one.case.connections), one.cpu_micros),
        *("chunk" if one.case.stream else "request", load.requests / load.seconds),
        *(load.percentile(share) * 1000 for share in (0.5, 0.95, 0.99)),
        *(one.peak_memory_mib, str(load.failures)),
    ]


def _summary(name: str, measured: Sequence[Measured], connections: int) -> list[str | float]:
    own = [one for one in measured if one.gateway == name]
    found = {
        (one.case.stream, one.case.body): one for one in own if one.case.connections == connections
    }
    small, large = found[False, "small"], found[False, "100 kB"]
    return [
        *(name, small.cpu_micros, small.load.requests / small.load.seconds),
        *(small.load.percentile(0.99) * 1000, large.cpu_micros, found[True, "small"].cpu_micros),
        max(one.peak_memory_mib for one in own),
    ]
