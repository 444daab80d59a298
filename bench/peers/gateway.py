"""What a gateway is to the benchmark: how it is installed and started, and where it is queried.

Each of `modelplane.py`, `tensorzero.py`, `mlflow.py`, `portkey.py` and `litellm.py` describes one;
`measurement.py` puts load on them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.children import START_SECONDS, Child, child
from bench.grpc_load import TypedCall
from bench.http_client import HttpConnection
from bench.load import Request

PROVIDER_KEY = "sk-mock"
MODEL = "mock"


@dataclass(frozen=True)
class Target:
    """A gateway that runs."""

    # Where chat requests go.
    url: str
    # The process that started all others of the gateway.
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)
    # What the request calls the model.
    model: str = MODEL
    # What requests have beside their messages.
    extra: Mapping[str, object] = field(default_factory=dict)
    # Its databases: of each the process that started all others.
    databases: tuple[int, ...] = ()
    # The same over gRPC, where there is such a thing.
    typed: TypedCall | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the gateway and of each database the process that started all others."""
        return (self.pid, *self.databases)

    def request(self, content: str, *, stream: bool) -> Request:
        """Return a chat request with one message."""
        messages = [{"role": "user", "content": content}]
        body = {"model": self.model, "messages": messages, "stream": stream, **self.extra}
        return Request(self.url, self.headers, body)


@dataclass(frozen=True)
class Place:
    """Where a gateway runs."""

    # What it was installed into.
    home: Path
    # Empty, for its configuration, its logs and its data.
    directory: Path
    # The provider, without a path.
    provider_url: str


Start = Callable[[Place], AbstractAsyncContextManager[Target]]


@dataclass(frozen=True)
class Gateway:
    """One way to run one gateway."""

    name: str
    # One line on how it is run.
    setting: str
    # Page that documents the setting; empty for our own.
    documentation: str
    # Fills the directory that it is given, once.
    install: Callable[[Path], None]
    start: Start
    # Whether it is only here to show what more workers do.
    scaling: bool = False
    # Whether it knows its callers, limits them or keeps what they used, as far as it can here.
    governed: bool = False


@asynccontextmanager
async def started(
    place: Place,
    command: Sequence[str],
    settings: Mapping[str, str],
    target: Callable[[int], Target],
) -> AsyncIterator[Target]:
    """Run a gateway's command until leaving, and yield it once it answers a query.

    Args:
        place: Where it runs.
        command: Program and its arguments.
        settings: Environment variables beside this process's own.
        target: Makes the target from the process id.
    """
    async with child(*command, settings=settings, directory=place.directory) as process:
        ready = target(process.pid)
        await wait_until_answering(ready, process)
        yield ready


async def wait_until_answering(target: Target, process: Child) -> None:
    """Return once a chat request is answered with 200.

    Raises:
        RuntimeError: The program has ended.
        TimeoutError: It took too long.
    """
    message = target.request("Say hello.", stream=False).message
    async with asyncio.timeout(START_SECONDS):
        while not await _answers(target.url, message):
            process.check()
            await asyncio.sleep(0.1)


async def _answers(url: str, message: bytes) -> bool:
    try:
        connection = await HttpConnection.open(url)
    except OSError:
        return False
    try:
        return (await connection.request(message)).status == 200
    except OSError:
        return False
    finally:
        await connection.aclose()
