"""Measures what it costs a worker to admit a query within limits, and what it has to remember.

A control plane that grants all that is asked for stands on the other side, in memory.
"""

import asyncio
import gc
import resource
import time
from collections.abc import Sequence
from random import Random

from modelserving.worker.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    LeaseQuotaResponse,
    QuotaGrant,
)
from modelserving.worker.v1.snapshot_pb2 import EndpointResource
from prometheus_client import CollectorRegistry

from bench.report import Row, Table, table_of
from modelplane.adapters.providers.types import Query, Task, Usage
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.limits.gate import LimitGate
from modelplane.data_plane.limits.quota_contact import Contact, WhenAway
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.compilation import compile_endpoint
from modelplane.data_plane.snapshots.snapshot import Endpoint

_LIMIT = 1_000_000_000
_SPEC = spec_of(Task.CHAT)
_QUERY = Query(
    {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 20}, stream=False
)
_USAGE = Usage(10, 20)
_GOAL = "at most 10"
_AHEAD = 100_000_000


class _Generous:
    """Grants what is wanted, and some more."""

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        grants = [
            QuotaGrant(granted=item.wanted + _AHEAD, remaining=_LIMIT, share=_AHEAD)
            for item in request.demands
        ]
        await asyncio.sleep(0)
        return LeaseQuotaResponse(window=1, remaining_ms=60_000, grants=grants)


async def measure(users: int, queries: int) -> Table:
    """Return CPU time for each admission, settled, in microseconds, and memory.

    Args:
        users: Number of active users of the last measurements.
        queries: Number of queries in each measurement.
    """
    per_user: dict[str, object] = {"key": "user", "calls": _LIMIT}
    tokens: dict[str, object] = {"key": "endpoint", "calls": _LIMIT, "tokens": _LIMIT}
    one = _callers(1)
    rows = [
        Row("no limit", await _cost([], one, queries), "µs"),
        Row(
            "a limit on requests for each user", await _cost([per_user], one, queries), "µs", _GOAL
        ),
        Row(
            "requests for each user, requests and tokens of the endpoint",
            await _cost([per_user, tokens], one, queries),
            "µs",
            _GOAL,
        ),
    ]
    callers = _callers(users)
    before = _memory_mib()
    cost = await _cost([per_user], callers, queries)
    rows.append(Row(f"a limit on requests for each of {users:,} users", cost, "µs", _GOAL))
    rows.append(Row(f"memory of {users:,} active users", _memory_mib() - before, "MiB"))
    return table_of("Admission within limits, with a lease held", rows)


async def _cost(
    limits: Sequence[dict[str, object]], callers: Sequence[Principal], queries: int
) -> float:
    clocks = Clocks(time.monotonic, asyncio.sleep, Random(1))
    metrics = QuotaMetrics(CollectorRegistry())
    contact = Contact(WhenAway.CONTINUE, 300.0)
    leases = QuotaLeases("bench", _Generous(), contact, metrics, clocks)
    gate = LimitGate(leases, contact, metrics, clocks.monotonic)
    endpoint = _endpoint(limits)
    background = asyncio.create_task(leases.run())
    try:
        # Everyone has a lease by the time that it is measured.
        for start in range(0, len(callers), 1_000):
            batch = callers[start : start + 1_000]
            await asyncio.gather(*(gate.admit(endpoint, caller, _QUERY, _SPEC) for caller in batch))
        background.cancel()
        gc.collect()
        order = Random(2).choices(callers, k=queries)
        used = time.process_time()
        for caller in order:
            admission = await gate.admit(endpoint, caller, _QUERY, _SPEC)
            _ = admission.headers
            admission.settle(_USAGE, Ending.ANSWERED)
        return (time.process_time() - used) / queries * 1e6
    finally:
        background.cancel()


def _endpoint(limits: Sequence[dict[str, object]]) -> Endpoint:
    message = EndpointResource(id="id-bench", name="bench")
    for limit in limits:
        item = message.ai_gateway.rate_limits.add(renewal_period="minute")
        for name, value in limit.items():
            setattr(item, name, value)
    return compile_endpoint(message, None, Random(1))[0]


def _callers(number: int) -> list[Principal]:
    return [Principal(f"id-{place}", f"user-{place}") for place in range(number)]


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
