"""Benchmark modelplane beside other gateways: `python -m bench.peers`, `make bench-peers`."""

import argparse
import os
from pathlib import Path

import uvloop

from bench.load import wrk_version
from bench.peers.gateway import Gateway
from bench.peers.litellm import LITELLM
from bench.peers.measurement import Effort, home_of, measure
from bench.peers.mlflow import MLFLOW
from bench.peers.modelplane import MODELPLANE, modelplane_at
from bench.peers.plot import draw
from bench.peers.portkey import PORTKEY
from bench.peers.table import REFERENCE, measured_table, settings_table, summary_table
from bench.peers.tensorzero import TENSORZERO
from bench.report import print_table, save

_GATEWAYS = (*TENSORZERO, *MODELPLANE, *MLFLOW, PORTKEY, LITELLM)
# Other peers cost several times as much: a short run is about the fastest.
_QUICK_GATEWAYS = (*TENSORZERO, *MODELPLANE)
_HOMES = Path(__file__).parent.parent.parent / ".bench-peers"
_PLOTTED = ("µs/request", "µs/request, 100 kB", "µs/chunk", "peak MiB")
_QUICK = Effort(rounds=1, seconds=1, connections=(1, 16, 128))
_FULL = Effort(rounds=3, seconds=2, connections=(1, 16, 128))
_SUMMARY_CONNECTIONS = 16


def _install(gateways: list[Gateway]) -> list[Gateway]:
    """Return those that are installed by now."""
    installed = []
    for gateway in gateways:
        try:
            gateway.install(home_of(gateway, _HOMES))
        except RuntimeError as error:
            print(f"{gateway.name} cannot be installed: {error}")
        else:
            installed.append(gateway)
    return installed


def _offered(arguments: argparse.Namespace) -> tuple[Gateway, ...]:
    if arguments.against:
        own = [one for one in MODELPLANE if not one.scaling]
        return (*modelplane_at(arguments.against), *own)
    return _QUICK_GATEWAYS if arguments.quick and not arguments.only else _GATEWAYS


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round, of the fastest peer only"
    )
    parser.add_argument(
        "--only", default="", help="gateways whose name has one of these, with commas"
    )
    parser.add_argument(
        "--against",
        metavar="REV",
        help="beside another commit instead of the peers",
    )
    parser.add_argument("--install", action="store_true", help="install the peers and end")
    arguments = parser.parse_args()
    try:
        print(f"load from {wrk_version()}")
    except RuntimeError as error:
        parser.error(str(error))
    wanted = arguments.only.lower().split(",")
    offered = _offered(arguments)
    reference = f"modelplane {arguments.against}" if arguments.against else REFERENCE
    named = [one for one in offered if any(part in one.name.lower() for part in wanted)]
    gateways = _install(named)
    if arguments.install:
        return
    effort = _QUICK if arguments.quick else _FULL
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    measured = uvloop.run(measure(gateways, _HOMES, effort, lambda line: print(line, flush=True)))
    summary = summary_table(measured, _SUMMARY_CONNECTIONS, reference)
    tables = [measured_table(measured, reference), summary, settings_table(gateways)]
    for table in tables:
        print_table(table)
    file = save(tables)
    picture = file.with_suffix(".svg")
    picture.write_text(draw(summary, _PLOTTED, "modelplane"))
    print(f"\n{file}\n{picture}")


if __name__ == "__main__":
    main()
