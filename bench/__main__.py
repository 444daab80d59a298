"""Run the benchmarks and print what they measured: `python -m bench`, `make bench`."""

import argparse
import asyncio
import shutil
from collections.abc import Sequence

import uvloop

from bench import control_plane, data_plane, limits, scale, start, stream_crowd
from bench.load import wrk_version
from bench.report import Table, print_table, save

_SECTIONS = (
    "requests",
    "streams",
    "crowd",
    "adapters",
    "access",
    "guardrails",
    "false-alarms",
    "limits",
    "usage",
    "control-plane",
    "watchers",
    "scale",
    "start",
    "http2",
    "hosting",
    "native",
    "passage",
    "unused",
    "payloads",
    "engines",
    "throughput",
    "pages",
    "hosts",
)
# Those that need a browser, or network namespaces, and run only where they are named.
_SHOWN = {"pages", "hosts"}
# Those that need a generator of load.
_LOADED = {"requests", "streams", "hosting", "native", "hosts"}


async def _run(sections: Sequence[str], *, quick: bool) -> None:
    tables: list[Table] = []
    if {"requests", "streams"} & set(sections):
        effort = data_plane.Effort(
            rounds=1 if quick else 3,
            seconds=1 if quick else 2,
            connections=(16,) if quick else (1, 16, 128),
        )
        tables += await data_plane.measure(
            effort, unary="requests" in sections, streams="streams" in sections
        )
    if "native" in sections:
        tables += await data_plane.measure_native(
            data_plane.Effort(
                rounds=1 if quick else 3, seconds=1 if quick else 2, connections=(16,)
            )
        )
    if "crowd" in sections:
        tables += await stream_crowd.measure(quick=quick)
    if "adapters" in sections:
        from bench import adapters  # noqa: PLC0415 - it needs the providers' emulators

        tables.append(await adapters.measure(0.05 if quick else 0.3))
    if "access" in sections:
        from bench import access  # noqa: PLC0415 - it needs the issuers of the tests

        tables.append(access.measure(0.2 if quick else 1.0))
    tables += await _counted(sections, quick=quick)
    tables += await _grown(sections, quick=quick)
    tables += await _pushed(sections, quick=quick)
    if "hosting" in sections:
        tables += await _hosting(quick=quick)
    tables += await _engines(sections, quick=quick)
    tables += await _throughput(sections, quick=quick)
    tables += await _pages(sections, quick=quick)
    tables += await _hosts(sections, quick=quick)
    _show(tables)


async def _counted(sections: Sequence[str], *, quick: bool) -> list[Table]:
    tables = []
    if "guardrails" in sections:
        from bench import guardrails  # noqa: PLC0415 - it needs the pipeline of the tests

        tables.append(await guardrails.measure(0.2 if quick else 2.0))
    if "false-alarms" in sections:
        from bench import false_alarms  # noqa: PLC0415 - it needs the texts of the tests

        tables += false_alarms.measure()
    if "passage" in sections:
        from bench import passage  # noqa: PLC0415 - it needs the pipeline of the tests

        tables.append(await passage.measure(0.3 if quick else 3.0))
    if "unused" in sections:
        from bench import unused  # noqa: PLC0415 - it needs the pipeline of the tests

        tables.append(await unused.measure(0.3 if quick else 3.0))
    if "payloads" in sections:
        from bench import payloads  # noqa: PLC0415 - it needs the extra that writes tables

        tables.append(await payloads.measure(5_000 if quick else 100_000))
    if "limits" in sections:
        tables.append(
            await limits.measure(10_000, 10_000) if quick else await limits.measure(100_000, 50_000)
        )
    if "usage" in sections:
        from bench import usage  # noqa: PLC0415 - it needs the messages of the tests

        tables.append(await usage.measure(2_000 if quick else 20_000))
    return tables


async def _grown(sections: Sequence[str], *, quick: bool) -> list[Table]:
    tables = []
    if "scale" in sections:
        tables.append(
            await scale.measure(queries=20_000, users=1_000, members=500, endpoints=1_000)
            if quick
            else await scale.measure(
                queries=1_000_000, users=50_000, members=5_000, endpoints=10_000
            )
        )
    if "start" in sections:
        tables.append(await start.measure(starts=1 if quick else 5))
    if "http2" in sections:
        from bench import http2  # noqa: PLC0415 - it needs a library that only the tests have

        tables.append(await http2.measure(waves=10 if quick else 100, delays_ms=(20, 50)))
    return tables


async def _pushed(sections: Sequence[str], *, quick: bool) -> list[Table]:
    tables = []
    if "control-plane" in sections:
        size = (
            control_plane.Scale(endpoints=1_000, watchers=10, updates=30)
            if quick
            else control_plane.Scale(endpoints=10_000, watchers=50, updates=200)
        )
        tables.append(await control_plane.measure(size))
    if "watchers" in sections:
        size = (
            control_plane.Scale(endpoints=1_000, watchers=20, updates=10)
            if quick
            else control_plane.Scale(endpoints=10_000, watchers=200, updates=100)
        )
        tables += await control_plane.measure_watchers(size)
    return tables


async def _hosts(sections: Sequence[str], *, quick: bool) -> list[Table]:
    if "hosts" not in sections:
        return []
    from bench import hosts  # noqa: PLC0415 - it needs root

    return [await hosts.measure((1, 2, 4, 8), rounds=1 if quick else 3, seconds=1 if quick else 2)]


async def _hosting(*, quick: bool) -> list[Table]:
    from bench import hosted_system, hosting  # noqa: PLC0415 - they need the models of the tests

    rounds, seconds, bursts = (1, 1, 3) if quick else (5, 4, 20)
    return [
        await hosting.measure(rounds=rounds, seconds=seconds),
        await asyncio.to_thread(hosted_system.measure, bursts=bursts),
    ]


async def _throughput(sections: Sequence[str], *, quick: bool) -> list[Table]:
    if "throughput" not in sections:
        return []
    from bench import neighbours  # noqa: PLC0415 - it needs the emulators of the tests

    figures = await asyncio.to_thread(neighbours.measure, seconds=60 if quick else 300)
    return [neighbours.tabulate(figures)]


async def _engines(sections: Sequence[str], *, quick: bool) -> list[Table]:
    if "engines" not in sections:
        return []
    from bench import engines, hosted_chunks  # noqa: PLC0415 - they need the models of the tests

    rounds = 1 if quick else 5
    chunks = await asyncio.to_thread(hosted_chunks.measure, rounds=rounds)
    return [*await asyncio.to_thread(engines.measure, rounds=rounds), chunks]


async def _pages(sections: Sequence[str], *, quick: bool) -> list[Table]:
    if "pages" not in sections:
        return []
    from bench import pages  # noqa: PLC0415 - it needs a browser

    program = str(shutil.which("chromium"))
    return [await pages.measure(1_000 if quick else 10_000, program)]


def _show(tables: Sequence[Table]) -> None:
    for table in tables:
        print_table(table)
    print(f"\n{save(tables)}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    listed = ", ".join(_SECTIONS)
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"any of {listed}; all but pages"
    )
    parser.add_argument("--quick", action="store_true", help="a short run with small numbers")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(_SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}")
    sections = arguments.sections or [name for name in _SECTIONS if name not in _SHOWN]
    if _LOADED & set(sections):
        try:
            print(f"load from {wrk_version()}")
        except RuntimeError as error:
            parser.error(str(error))
    uvloop.run(_run(sections, quick=arguments.quick))


if __name__ == "__main__":
    main()
