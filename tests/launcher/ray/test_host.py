"""A host as a job runs it, with real processes: it outlives nothing that it should not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelplane.launcher.local import seen
from modelplane.launcher.ray import host

# In the place of a launcher: says what it is given, and ends with 5 when it is told to end.
FAKE = """
import os, signal, sys
from pathlib import Path
folder = Path(sys.argv[1])
def end(*_):
    (folder / "ended").touch()
    sys.exit(5)
signal.signal(signal.SIGTERM, end)
files = ("MODELPLANE_LAUNCHER_TOKEN_FILE", "MODELPLANE_TLS_CA")
said = [open(os.environ[name]).read() for name in files]
said += [os.environ["MODELPLANE_REPLICA_HOST"], " ".join(sorted(os.environ))]
said += [str(os.getpid()), str(os.getppid())]
(folder / "saying").write_text("\\n".join(said))
(folder / "saying").rename(folder / "said")
signal.pause()
"""
GIVEN = {
    host.TOKEN: "modelplane-default-g-0.secret",
    host.CA: "CA",
    "RAY_ADDRESS": "127.0.0.1:6379",
    "RAY_AUTH_TOKEN": "cluster-token",
    "MODELPLANE_DRAIN_SECONDS": "1",
}


class Job:
    """The process of a job, whose host says what it is given."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, hosts: Path) -> None:
        self.process = process
        self.hosts = hosts
        self._folder = folder
        said = (folder / "said").read_text().splitlines()
        self.token, self.authority, self.address, self.variables = said[:4]
        self.pid, self.keeper = int(said[4]), int(said[5])

    @property
    def was_told(self) -> bool:
        return (self._folder / "ended").exists()

    async def until_nothing_is_left(self) -> None:
        await until(lambda: not (self.is_there(self.pid) or self.is_there(self.keeper)))

    @staticmethod
    def is_there(pid: int) -> bool:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        # One that has ended, and that nobody has asked after, is a zombie.
        return status.rpartition(")")[2].split()[0] != "Z"


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[Job]:
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    run = (
        "import sys; from modelplane.launcher.ray import host; "
        f"host._COMMAND = ('-c', {FAKE!r}, {str(tmp_path)!r}); sys.exit(host.main())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", run),
        env={**GIVEN, host.FOLDER: str(hosts), "PATH": os.defpath},
        start_new_session=True,
    )
    await until((tmp_path / "said").exists)
    found = Job(process, tmp_path, hosts)
    yield found
    if process.returncode is None:
        process.kill()
        await process.wait()
    await found.until_nothing_is_left()


async def test_a_host_is_given_its_files_and_nothing_of_ray(job: Job) -> None:
    assert (job.token, job.authority, job.address) == (GIVEN[host.TOKEN], "CA", "127.0.0.1")
    assert not {"RAY_ADDRESS", "RAY_AUTH_TOKEN", host.TOKEN, host.CA} & set(job.variables.split())
    [folder] = job.hosts.iterdir()
    assert (folder / "token").stat().st_mode & 0o777 == 0o600


async def test_a_job_that_is_told_to_end_ends_once_its_host_has(job: Job) -> None:
    # Ray tells each process below the job's: the host has to be none of them.
    parents = {one.pid: one.parent for one in seen.look()}
    above = [parents[job.pid]]
    while above[-1] in parents:
        above.append(parents[above[-1]])
    assert above[0] == job.keeper
    assert job.process.pid not in above
    job.process.terminate()
    assert await job.process.wait() == 5
    assert job.was_told
    await job.until_nothing_is_left()
    assert not list(job.hosts.iterdir())


async def test_a_host_ends_with_its_job(job: Job) -> None:
    # As when Ray's supervisor is gone: it kills the job's whole process group.
    os.killpg(job.process.pid, signal.SIGKILL)
    await job.until_nothing_is_left()
    assert job.was_told
    assert not list(job.hosts.iterdir())


async def test_a_job_ends_with_its_host(job: Job) -> None:
    os.kill(job.pid, signal.SIGKILL)
    assert await job.process.wait() not in (0, 5)


async def test_a_host_ends_with_its_keeper(job: Job) -> None:
    os.kill(job.keeper, signal.SIGKILL)
    assert await job.process.wait() == 1
    await job.until_nothing_is_left()
    assert job.was_told


def test_the_address_is_the_one_towards_the_head() -> None:
    assert host.own_address("127.0.0.1:6379") == "127.0.0.1"
    assert host.own_address("[::1]:6379") == "::1"
