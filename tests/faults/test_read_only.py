"""A data directory that turns read-only under a deployment, and is writable again."""

import asyncio
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.system import System
from tests.faults import deployment
from tests.faults.traffic import constant_traffic

_UNWRITABLE = "The database cannot be written: its disk is full or read-only"


@contextmanager
def read_only(system: System) -> Iterator[None]:
    """Let the file system take nothing more for the data directory, in files that are open too.

    That takes root, and a file system that knows immutable files; elsewhere the processes are kept
    from writing.
    """
    directory = system.directory
    try:
        _mark(system, "+i")
        try:
            (directory / "probe").write_text("")
        except OSError:
            yield
            return
        (directory / "probe").unlink()
        with _no_writing(system):
            yield
    finally:
        _mark(system, "-i")


def _mark(system: System, attribute: str) -> None:
    command = ["chattr", "-R", "-f", attribute, str(system.directory)]
    try:
        subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        return
    for shared in system.directory.glob("*.db-shm"):
        # It is mapped into memory, and who writes to what cannot be written there is killed.
        subprocess.run(["chattr", "-f", "-i", str(shared)], check=False, capture_output=True)


@contextmanager
def _no_writing(system: System) -> Iterator[None]:
    parts = [system.envoy, system.control_plane, *system.workers]
    limits = {
        part.pid: resource.prlimit(part.pid, resource.RLIMIT_FSIZE) for part in parts if part.pid
    }
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


async def test_a_read_only_data_directory_is_told_and_needs_no_restart(
    system: System, provider_url: str, endpoint: str
) -> None:
    pids = [part.pid for part in (system.envoy, system.control_plane, *system.workers)]
    async with constant_traffic(system, endpoint, rate=20) as traffic:
        with read_only(system):
            for number in range(3):
                refused = await deployment.create(system, provider_url, f"refused-{number}")
                assert (refused.status, refused.body["error_code"]) == (
                    503,
                    "TEMPORARILY_UNAVAILABLE",
                )
                assert _UNWRITABLE in refused.body["message"]
            # More at a time than there were connections to the database.
            path = f"{deployment.PATH}/{endpoint}"
            reads = await asyncio.gather(*(system.call("GET", path) for _ in range(30)))
            assert {read.status for read in reads} <= {200, 503}
            await traffic.wait_for(20)

        async def takes_changes() -> bool:
            return (await deployment.update(system, provider_url, endpoint, 2)).status == 200

        await deployment.until(takes_changes)
        await deployment.until(lambda: deployment.done(system, endpoint, 2))
        traffic.floor = 2
        # None of the connections of that time is left.
        for number in range(12):
            name = f"after-{number}"
            assert (await deployment.create(system, provider_url, name)).status == 200
            assert (await system.call("DELETE", f"{deployment.PATH}/{name}")).status == 200
        await traffic.wait_for(20)
    assert traffic.failures() == []
    assert traffic.stale() == []
    assert [p.pid for p in (system.envoy, system.control_plane, *system.workers)] == pids
    listed = {
        item["name"] for item in (await system.call("GET", deployment.PATH)).body["endpoints"]
    }
    assert not any(name.startswith("refused") for name in listed)
