"""Honest calls beside an attack: at a fixed rate, whatever becomes of the earlier ones.

Each is one of those that a deployment lives on: a query, a stream, a read of the API; on a
connection that is kept and on a new one in turn. What counts is the share that succeeded.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.http_client import HttpConnection, build_request
from tests.hostile.stage import CHAT, ENDPOINTS, Tenant

# Of honest calls, beside any one attack.
SHARE = 0.95
# No client waits longer for these.
_PATIENCE_SECONDS = 20.0
_RATE = 15.0
_SLOWEST = 0.95


@dataclass
class Honest:
    """A tenant's calls, and what became of each."""

    tenant: Tenant
    endpoint: str
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _kept: list[HttpConnection] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many have ended."""
        return len(self.seconds)

    async def wait_for(self, count: int) -> None:
        """Return once `count` more calls have ended."""
        goal = self.calls + count
        while self.calls < goal:
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Call until cancelled; calls in flight then are let end."""
        start = time.monotonic()
        number = 0
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    await asyncio.sleep(start + number / _RATE - time.monotonic())
                    tasks.create_task(self._call(number))
                    number += 1
            except asyncio.CancelledError:
                pass

    def check(self, attack: str) -> None:
        """Print what became of the calls, and fail if too few succeeded."""
        slowest = sorted(self.seconds)[int(_SLOWEST * (self.calls - 1))]
        share = 1 - len(self.failures) / self.calls
        print(  # noqa: T201 - what the suite shows
            f"\n{attack}: {share:.1%} of {self.calls} honest calls succeeded,"
            f" p95 {slowest * 1000:.0f} ms"
        )
        assert share >= SHARE, sorted(set(self.failures))

    async def aclose(self) -> None:
        """Close what is kept open."""
        for connection in self._kept:
            await connection.aclose()

    async def _call(self, number: int) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                failure = await self._exchange(number)
        except (OSError, TimeoutError) as error:
            failure = repr(error)
        self.seconds.append(time.monotonic() - began)
        if failure:
            self.failures.append(failure)

    async def _exchange(self, number: int) -> str:
        """Return what was wrong with an answer; empty: nothing."""
        url = self.tenant.stage.system.url
        method, path, body = self._request(number)
        keeps = number % 2 == 0
        connection = self._kept.pop() if keeps and self._kept else await HttpConnection.open(url)
        try:
            headers = {"authorization": f"Bearer {self.tenant.token}"}
            answer = await connection.request(build_request(method, url + path, headers, body))
            if keeps and not connection.closed and answer.header("connection") != "close":
                self._kept.append(connection)
        finally:
            if connection not in self._kept:
                await connection.aclose()
        return "" if answer.status == 200 else f"{method} {path}: {answer.status} {answer.body!r}"

    def _request(self, number: int) -> tuple[str, str, object]:
        if number % 3 == 2:
            return "GET", f"{ENDPOINTS}/{self.endpoint}", None
        path = f"/serving-endpoints/{self.endpoint}/invocations"
        return "POST", path, {**CHAT, "stream": number % 3 == 1}


@asynccontextmanager
async def honest_calls(tenant: Tenant, endpoint: str, attack: str) -> AsyncIterator[Honest]:
    """Let a tenant call while the block runs, and a little before and after; check the share.

    Args:
        tenant: Who calls.
        endpoint: Their endpoint.
        attack: What is printed with the share.
    """
    calls = Honest(tenant, endpoint)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(calls.run())
        try:
            await calls.wait_for(5)
            yield calls
            await calls.wait_for(10)
        finally:
            running.cancel()
    await calls.aclose()
    calls.check(attack)
