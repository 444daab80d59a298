"""Measures a deployment that hosts a model: what it costs idle, deployments, and starts from zero.

Model and server are those of `bench/hosting.py`, so that what a start takes by itself stands in
the same run.
"""

import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import orjson
import requests

from bench.processes import cpu_seconds, proportional_memory_mib
from bench.report import Row, Table, percentile, table_of
from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import FLOWER, deployed, hosted, hosting, messages_of
from tests.hosting.e2e.processes import pid_of, replicas
from tests.hosting.models.cache import saved

_CALLERS = 100
_IDLE_SECONDS = 10.0
_SLEEP_SECONDS = 60.0


def measure(*, bursts: int) -> Table:
    """Return the figures, those of starts from zero over so many bursts of a hundred callers."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        # Replicas are users of their own, who have to get there.
        folder.chmod(0o755)
        registry = folder / "registry"
        shutil.copytree(saved("3").model("iris"), registry / "main.ml.iris" / "1")
        settings = {"scale_to_zero_seconds": "1"}
        system = stack.enter_context(hosting(folder / "data", registry, **settings))
        rest = stack.enter_context(Rest(system))
        rows = _idle(system)
        rows += _deployments(rest)
        rows.append(Row("memory of a replica", _memory_of_replica(system), "MiB", "220"))
        rows += _bursts(system, rest, bursts)
        rows += _wakes(system)
    return table_of("A deployment that hosts a model of scikit-learn", rows)


def _idle(system: System) -> list[Row]:
    launcher = pid_of(system, "launcher")
    assert launcher
    before = cpu_seconds(launcher)
    time.sleep(_IDLE_SECONDS)
    busy = (cpu_seconds(launcher) - before) / _IDLE_SECONDS * 100
    return [
        Row("launcher, nothing deployed: memory", proportional_memory_mib(launcher), "MiB", "60"),
        Row("launcher, nothing deployed: CPU", busy, "% of a core", "0.5"),
    ]


def _deployments(rest: Rest) -> list[Row]:
    rows = []
    for name, what, goal in (("first", "to be built", ""), ("second", "there", "")):
        started = time.monotonic()
        # One process is there when it is ready, and may go a second later.
        deployed(rest, name, hosted("iris", "main.ml.iris"))
        took = time.monotonic() - started
        rows.append(Row(f"deployed, its environment {what}", took, "s", goal))
    rest.call("DELETE", f"{ENDPOINTS}/first")
    return rows


def _memory_of_replica(system: System) -> float:
    _ask(system)
    return max(map(proportional_memory_mib, replicas(system)))


def _bursts(system: System, rest: Rest, count: int) -> list[Row]:
    firsts, spreads, lost = [], [], 0
    with ThreadPoolExecutor(_CALLERS) as pool:
        for _ in range(count):
            _until_zero(rest)
            started = time.monotonic()
            asked = [pool.submit(_ask, system) for _ in range(_CALLERS)]
            ends = sorted(end for ok, end in (each.result() for each in asked) if ok)
            lost += _CALLERS - len(ends)
            if ends:
                firsts.append(ends[0] - started)
                spreads.append(ends[-1] - ends[0])
    return [
        Row(f"from zero, {count} bursts of {_CALLERS}: lost", lost, "requests", "0"),
        Row("first answer, median", statistics.median(firsts), "s", "3.5"),
        Row("first answer, longest", max(firsts), "s"),
        Row("the other answers came within, p90", percentile(sorted(spreads), 0.9), "s"),
    ]


def _wakes(system: System) -> list[Row]:
    state = orjson.loads((system.data_dir / "up.json").read_bytes())
    page = requests.get(state["control_plane"]["metrics_url"], timeout=5).text
    found = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in page.splitlines() if line[:1] != "#")
        if name.startswith("modelplane_group_wake_seconds")
    }
    count = found["modelplane_group_wake_seconds_count"]
    mean = found["modelplane_group_wake_seconds_sum"] / max(1.0, count)
    return [Row("a wake until the launcher was told, mean", mean * 1000, "ms", "50")]


def _ask(system: System) -> tuple[bool, float]:
    url = f"{system.url}/serving-endpoints/second/invocations"
    answer = requests.post(url, json=FLOWER, headers=system.headers, timeout=60)
    return answer.status_code == requests.codes.ok, time.monotonic()


def _until_zero(rest: Rest) -> None:
    deadline = time.monotonic() + _SLEEP_SECONDS
    while messages_of(rest.call("GET", f"{ENDPOINTS}/second"))["iris"] != "Scaled to zero":
        if time.monotonic() > deadline:
            raise RuntimeError("the model was not scaled to zero")
        time.sleep(0.1)
