"""Closed-loop load: each connection sends its next request when the answer to the last is there.

Built on `bench/http_client.py`; `bench/data_plane.py` decides what to send.
"""

import asyncio
import time
from dataclasses import dataclass

from bench.http_client import HttpConnection


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a run of closed-loop load measured. Latencies are in seconds, sorted."""

    seconds: float
    latencies: list[float]
    failures: int
    events: int

    @property
    def requests(self) -> int:
        """Number of requests answered with 200."""
        return len(self.latencies)

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` of the requests did not exceed."""
        return percentile(self.latencies, share)


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed; NaN for none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run_load(url: str, message: bytes, connections: int, seconds: float) -> LoadResult:
    """Send `message` over and over for `seconds` on each of `connections` connections.

    A connection that the server closes amid a request is a failure, and opened again.
    """
    opened = [await HttpConnection.open(url) for _ in range(connections)]
    latencies: list[float] = []
    failures = events = 0
    start = time.perf_counter()
    end = start + seconds

    async def loop(number: int) -> None:
        nonlocal failures, events
        while (sent := time.perf_counter()) < end:
            try:
                answer = await opened[number].request(message)
            except ConnectionError:
                failures += 1
                opened[number] = await HttpConnection.open(url)
                continue
            if answer.status == 200:
                latencies.append(time.perf_counter() - sent)
                events += answer.body.count(b"data: ")
            else:
                failures += 1

    try:
        await asyncio.gather(*(loop(number) for number in range(connections)))
    finally:
        for connection in opened:
            await connection.aclose()
    elapsed = time.perf_counter() - start
    return LoadResult(elapsed, sorted(latencies), failures, events)
