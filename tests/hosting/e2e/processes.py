"""The processes of a deployment that hosts models, and queries to it."""

import time
from collections.abc import Callable
from pathlib import Path

import orjson
import requests

from tests.e2e.system import System
from tests.hosting.e2e.deployment import FLOWER

# Between two queries of each caller of a load, which is not to take what the models need.
PAUSE_SECONDS = 0.01
_SOON_SECONDS = 60.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once a condition holds, which must come about however busy the machine is."""
    deadline = time.monotonic() + _SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.05)


def ask(system: System, name: str, body: object = FLOWER) -> requests.Response:
    url = f"{system.url}/serving-endpoints/{name}/invocations"
    return requests.post(url, json=body, headers=system.headers, timeout=60)


def pid_of(system: System, part: str) -> int | None:
    """Return the process of a part; None: it is not there now."""
    state = orjson.loads((system.data_dir / "up.json").read_bytes())
    found = state["workers"][0] if part == "worker-1" else state[part]
    pid = found["pid"]
    return None if pid is None else int(pid)


def replicas(system: System) -> list[int]:
    """Return the processes that serve models in a deployment."""
    return replicas_of(pid_of(system, "launcher"))


def only_replicas(system: System, count: int) -> list[int]:
    """Return the processes that serve models once there are so many: former ones may still end."""
    wait_for(lambda: len(replicas(system)) == count)
    return replicas(system)


def replicas_of(launcher: int | None) -> list[int]:
    """Return the processes that serve models for a launcher; None: there is none."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == launcher and b"serve.py" in line:
            found.append(int(folder.name))
    return found
