"""A process that may open no more files: what needs one fails, nothing ends, calls go on after."""

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.http_client import HttpConnection, build_request
from bench.system import System
from tests.faults import deployment

_CHAT = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
# So many at once need more files than are left.
_CALLS = 100
_SPARE = 8


@contextlib.contextmanager
def few_files(pid: int) -> Iterator[None]:
    """Leave a process a few files beside those that it has open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    most = len(list(Path(f"/proc/{pid}/fd").iterdir())) + _SPARE
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def ask(system: System, method: str, path: str, body: object = None) -> int:
    """Send a request on a connection of its own; return the status, 0 for none."""
    try:
        async with asyncio.timeout(20):
            connection = await HttpConnection.open(system.url)
            try:
                request = build_request(method, system.url + path, system.headers(), body)
                return (await connection.request(request)).status
            finally:
                await connection.aclose()
    except OSError:
        return 0


@pytest.mark.parametrize("name", ["worker-1", "control_plane"])
async def test_a_part_that_may_open_no_more_files_recovers(
    system: System, endpoint: str, name: str
) -> None:
    parts = {part.name: part.pid for part in (*system.workers, system.control_plane)}
    pid = parts[name]
    assert pid is not None
    query = f"/serving-endpoints/{endpoint}/invocations"

    async def serves() -> bool:
        read = await ask(system, "GET", f"{deployment.PATH}/{endpoint}")
        return {read, await ask(system, "POST", query, _CHAT)} == {200}

    with few_files(pid):
        queries = [ask(system, "POST", query, _CHAT) for _ in range(_CALLS)]
        reads = [ask(system, "GET", f"{deployment.PATH}/{endpoint}") for _ in range(_CALLS)]
        statuses = Counter(await asyncio.gather(*queries, *reads))
        # Whoever is told anything is told to come again.
        assert set(statuses) <= {200, 429, 502, 503}, statuses
        assert statuses[200] > 0
        # Those who come later are served, with no more files than there were.
        await deployment.until(serves)
    assert {part.name: part.pid for part in (*system.workers, system.control_plane)} == parts
    await deployment.until(lambda: deployment.all_healthy(system))
    for _ in range(20):
        assert await serves()
