"""The databases that peers are governed with: PostgreSQL, and a server of Redis's protocol.

Used by `tensorzero.py` and `mlflow.py`. What they take counts as the gateway's.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import START_SECONDS, child, free_address
from tests.postgres import running_postgres

# The one that TensorZero names is not in every distribution; the other is what it came from.
_SERVERS = ("valkey-server", "redis-server")


@dataclass(frozen=True)
class Database:
    """A database that runs: its URL, and the process that started all others of it."""

    url: str
    pid: int


@asynccontextmanager
async def postgres() -> AsyncIterator[Database]:
    """Run the PostgreSQL of the tests, which does not wait for the disk, until leaving."""
    with running_postgres() as server:
        yield Database(server.url(), server.pid)


def valkey_program() -> str:
    """Return the program of the server.

    Raises:
        RuntimeError: It is not installed.
    """
    program = next(filter(None, map(shutil.which, _SERVERS)), None)
    if program is None:
        raise RuntimeError(f"it needs {' or '.join(_SERVERS)}, which are not installed")
    return program


@asynccontextmanager
async def valkey(directory: Path) -> AsyncIterator[Database]:
    """Run a server of Redis's protocol that writes nothing to the disk, until leaving."""
    host, _, port = free_address().rpartition(":")
    options = ("--bind", host, "--port", port, "--save", "", "--appendonly", "no")
    command = (valkey_program(), *options, "--dir", str(directory))
    async with child(*command, settings={}, directory=directory) as process:
        deadline = time.monotonic() + START_SECONDS
        while not await _takes_connections(host, int(port)):
            process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{command[0]} does not start")
            await asyncio.sleep(0.05)
        yield Database(f"redis://{host}:{port}", process.pid)


async def _takes_connections(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
