"""The mock provider (`bench/mock_provider.py`) in a process of its own, and what it has counted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import child, python
from bench.http_client import HttpConnection, build_request
from bench.mock_provider import COUNTS_PATH, Counts, StreamShape


@dataclass(frozen=True, slots=True)
class Provider:
    """A mock provider that runs."""

    # Without a path.
    url: str
    pid: int

    async def counts(self) -> Counts:
        """Return what it has counted since it started."""
        connection = await HttpConnection.open(self.url)
        try:
            answer = await connection.request(build_request("GET", self.url + COUNTS_PATH))
        finally:
            await connection.aclose()
        return Counts(**json.loads(answer.body))


@asynccontextmanager
async def running_provider(
    directory: Path, shape: StreamShape, host: str = "127.0.0.1"
) -> AsyncIterator[Provider]:
    """Run a mock provider until leaving.

    Args:
        directory: Where its log goes.
        shape: How its streams arrive.
        host: Address on which it listens.
    """
    options = (
        f"--host={host}",
        f"--chunks={shape.chunks}",
        f"--chunk-interval-seconds={shape.interval_seconds}",
    )
    command = (*python("bench.mock_provider"), *options)
    async with child(*command, settings={}, directory=directory, speaks=True) as mock:
        yield Provider(mock.first_line(), mock.pid)
