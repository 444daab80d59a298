"""Constant traffic: requests leave at a fixed rate whatever becomes of the earlier ones.

Beside: `bench/load.py`, whose load waits for answers.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.http_client import HttpAnswer, HttpConnection, build_request
from bench.system import System

# The endpoint's model is called so, with the version of its configuration; the provider's answers
# repeat the name. So an answer itself tells which configuration made it.
MODEL = "model-of-version-"
_SERVED = re.compile(rb'"content":"' + MODEL.encode() + rb'(\d+)"')


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. Times are those of `time.monotonic`."""

    sent: float
    ended: float
    streamed: bool
    # Newest version whose update had been reported done when the request left.
    floor: int
    answer: HttpAnswer | None
    error: str

    @property
    def served_version(self) -> int:
        """The version that made the answer, as its content tells."""
        versions = set(_SERVED.findall(self.answer.body)) if self.answer else set()
        return int(versions.pop()) if len(versions) == 1 else 0

    def failure(self) -> str:
        """Return what is wrong with the answer; empty: nothing."""
        if self.answer is None:
            return self.error
        if self.answer.status != 200:
            return f"{self.answer.status}: {self.answer.body[:200]!r}"
        if self.streamed and not self.answer.body.endswith(b"data: [DONE]\n\n"):
            return f"truncated: {self.answer.body[-200:]!r}"
        if b'"error"' in self.answer.body or not self.served_version:
            return f"unexpected: {self.answer.body[-200:]!r}"
        claimed = self.answer.header("x-modelplane-config-version")
        if claimed != str(self.served_version):
            return f"claims version {claimed}, was made by {self.served_version}"
        return ""

    def describe(self) -> str:
        """Return a line for a failed assertion."""
        kind = "stream" if self.streamed else "unary"
        return f"{kind} sent {self.sent:.3f} ended {self.ended:.3f}: {self.failure()}"


@dataclass
class Traffic:
    """Requests to one endpoint, every third of them streamed."""

    system: System
    endpoint: str
    rate: float
    # Set by whoever updates the endpoint, when an update is reported done.
    floor: int = 1
    outcomes: list[Outcome] = field(default_factory=list)
    # How many of them ended well: it is asked again and again.
    _successes: int = 0
    _idle: list[HttpConnection] = field(default_factory=list)

    def failures(self) -> list[str]:
        """Return a line for each request that failed."""
        return [outcome.describe() for outcome in self.outcomes if outcome.failure()]

    def stale(self) -> list[str]:
        """Return a line for each answer made by a version older than its request's floor."""
        return [
            f"version {outcome.served_version} after {outcome.floor}"
            for outcome in self.outcomes
            if not outcome.failure() and outcome.served_version < outcome.floor
        ]

    async def wait_for(self, count: int) -> None:
        """Return once `count` more requests have ended well."""
        goal = self._successes + count
        async with asyncio.timeout(30):
            while self._successes < goal:
                await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Send until cancelled; requests in flight then are let end."""
        start = time.monotonic()
        number = 0
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    await asyncio.sleep(start + number / self.rate - time.monotonic())
                    number += 1
                    tasks.create_task(self._send(streamed=number % 3 == 0))
            except asyncio.CancelledError:
                pass

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._idle:
            await connection.aclose()

    async def _send(self, *, streamed: bool) -> None:
        url = f"{self.system.url}/serving-endpoints/{self.endpoint}/invocations"
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": streamed}
        message = build_request("POST", url, self.system.headers(), body)
        floor, answer, error = self.floor, None, ""
        sent = time.monotonic()
        try:
            connection = await self._connection(url)
            answer = await connection.request(message)
            if answer.header("connection") == "close":
                await connection.aclose()
            else:
                self._idle.append(connection)
        except OSError as reason:
            error = repr(reason)
        outcome = Outcome(sent, time.monotonic(), streamed, floor, answer, error)
        self.outcomes.append(outcome)
        self._successes += not outcome.failure()

    async def _connection(self, url: str) -> HttpConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await HttpConnection.open(url)


@asynccontextmanager
async def constant_traffic(system: System, endpoint: str, rate: float) -> AsyncIterator[Traffic]:
    """Send requests at `rate` a second; on leaving, let those in flight end."""
    traffic = Traffic(system, endpoint, rate)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(traffic.run())
        try:
            yield traffic
        finally:
            running.cancel()
    await traffic.aclose()
