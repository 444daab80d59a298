"""Thousands of queries while workers, and the control plane, are killed: none is lost or double."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.http_client import HttpAnswer, HttpConnection, build_request
from bench.system import Part, System, chat_config, running_system
from tests.effort import times
from tests.faults import deployment
from tests.faults.counting_provider import CountingProvider, tokens_of
from tests.faults.deployment import kill, until

QUERIES = times(1_250, 20_000)
CLIENTS = 24
# As many kills of fewer queries.
ANSWERS_BETWEEN_KILLS = (times(100, 200), times(400, 800))
ENDPOINT = "counted"


@dataclass
class Load:
    """Numbered queries, each sent once, every third of them streamed.

    Attributes:
        whole: Numbers of the queries whose answer came whole.
        sent: Number of queries sent so far.
    """

    system: System
    whole: set[int] = field(default_factory=set)
    sent: int = 0

    async def run(self) -> None:
        """Send all."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(self._client())

    async def _client(self) -> None:
        connection: HttpConnection | None = None
        while self.sent < QUERIES:
            number = self.sent
            self.sent += 1
            try:
                if connection is None or connection.closed:
                    connection = await HttpConnection.open(self.system.url)
                if await self._query(connection, number):
                    self.whole.add(number)
            except OSError:
                connection = None
        if connection:
            await connection.aclose()

    async def _query(self, connection: HttpConnection, number: int) -> bool:
        streamed = number % 3 == 0
        url = f"{self.system.url}/serving-endpoints/{ENDPOINT}/invocations"
        body = {
            "messages": [{"role": "user", "content": str(number)}],
            "stream": streamed,
            "client_request_id": str(number),
            "usage_context": {"kind": "stream" if streamed else "unary"},
        }
        # Clients may give each request the same id.
        headers = {**self.system.headers(), "x-request-id": "always-the-same"}
        answer = await connection.request(build_request("POST", url, headers, body))
        return _is_whole(answer, streamed=streamed)


def _is_whole(answer: HttpAnswer, *, streamed: bool) -> bool:
    if answer.status != 200 or b'"error"' in answer.body:
        return False
    return answer.body.endswith(b"data: [DONE]\n\n") if streamed else bool(json.loads(answer.body))


@pytest.fixture
async def provider() -> AsyncIterator[CountingProvider]:
    async with CountingProvider() as provider:
        yield provider


@pytest.fixture
async def counted(tmp_path: Path, provider: CountingProvider) -> AsyncIterator[System]:
    """Run a deployment of its own, with an endpoint that tracks usage."""
    async with running_system(tmp_path, "--no-hosting", "--workers", "3") as system:
        body = {
            "name": ENDPOINT,
            "config": chat_config(provider.url, "m"),
            "ai_gateway": {"usage_tracking_config": {"enabled": True}},
        }
        created = await system.call("POST", deployment.PATH, body)
        assert created.status == 200, created
        await until(lambda: deployment.all_healthy(system))
        yield system


async def test_each_admitted_query_has_one_row_whoever_is_killed(
    counted: System, provider: CountingProvider
) -> None:
    load = Load(counted)
    async with asyncio.TaskGroup() as tasks:
        killing = tasks.create_task(_kill_at_random(counted, load, Random(7)))
        control_plane = tasks.create_task(_kill_control_plane(counted, load))
        await load.run()
        await control_plane
        killing.cancel()
    assert load.sent == QUERIES
    await until(lambda: _is_settled(counted, provider))
    rows = await _rows(counted)
    kills = int(killing.get_name())
    assert kills >= times(3, 20)
    _check(rows, provider, load)
    states = Counter(row["state"] for row in rows)
    statuses = Counter(row["status_code"] for row in rows)
    print(  # noqa: T201 - the figures of the run
        f"\n{kills} kills: {dict(states)}, {dict(statuses)}, {len(load.whole)} whole answers"
    )


def _check(rows: list[dict[str, Any]], provider: CountingProvider, load: Load) -> None:
    by_number = {int(row["client_request_id"]): row for row in rows}
    # None double, though all have the same request id.
    assert len(by_number) == len(rows)
    # None lost: whatever has reached the provider, and whatever the clients have been answered.
    assert provider.seen.keys() - by_number.keys() == set()
    assert load.whole - by_number.keys() == set()
    # No client and no part of the gateway repeats what may have been begun.
    assert set(provider.seen.values()) == {1}
    answered = {number for number, row in by_number.items() if row["status_code"] == 200}
    for number in answered:
        row = by_number[number]
        counted = row["input_token_count"], row["output_token_count"]
        assert counted == tokens_of(number) or row["error"] or row["token_counts_estimated"], row
        assert row["request_streaming"] is (number % 3 == 0)
        assert row["usage_context"] == {"kind": "unary" if number % 3 else "stream"}
    # Only a worker that died right after an answer does not know of it.
    unknown = {number for number, row in by_number.items() if row["state"] == "UNKNOWN"}
    assert load.whole <= answered | unknown
    exact = load.whole & answered
    assert len(exact) > QUERIES // 2
    for at, name in enumerate(("input_token_count", "output_token_count")):
        total = sum(by_number[number][name] for number in exact)
        assert total == sum(tokens_of(number)[at] for number in exact)


async def _kill_at_random(system: System, load: Load, random: Random) -> None:
    """Kill a worker, again and again, until cancelled; the task's name tells how often."""
    task = asyncio.current_task()
    assert task
    for count in range(1, 1_000):
        goal = len(load.whole) + random.randint(*ANSWERS_BETWEEN_KILLS)
        while len(load.whole) < goal:
            await asyncio.sleep(0.01)
        _kill(random.choice(system.workers))
        task.set_name(str(count))


async def _kill_control_plane(system: System, load: Load) -> None:
    while load.sent < QUERIES // 2:
        await asyncio.sleep(0.05)
    _kill(system.control_plane)


def _kill(part: Part) -> None:
    # It may be just being restarted.
    with suppress(ProcessLookupError):
        if part.pid is not None:
            kill(part)


async def _is_settled(system: System, provider: CountingProvider) -> bool:
    """Tell whether every query that the provider saw has a row, and none is running."""
    rows = await _rows(system)
    numbers = {int(row["client_request_id"]) for row in rows}
    return provider.seen.keys() <= numbers and all(row["state"] != "RUNNING" for row in rows)


async def _rows(system: System) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    token = ""
    while True:
        page = f"&page_token={token}" if token else ""
        answer = await system.call("GET", f"/api/2.0/usage?endpoint={ENDPOINT}{page}")
        if answer.status != 200:
            raise ConnectionError(answer)
        rows += answer.body["usage"]
        token = answer.body.get("next_page_token", "")
        if not token:
            return rows
