"""An outage drill: an upstream fails in every way, comes back, and is never stormed."""

import asyncio
from collections import Counter

import pytest

from tests.data_plane.conftest import System
from tests.data_plane.upstreams.test_attempts import MODELS, ask, serve
from tests.emulators.faults import LONG_PAUSE, Fault

_CONCURRENT = 8
_REQUESTS = 200


async def ask_many(system: System, count: int = _REQUESTS) -> Counter[int]:
    """Send whole and streamed queries, some at a time, and count the statuses."""
    limit = asyncio.Semaphore(_CONCURRENT)

    async def one(number: int) -> int:
        async with limit:
            return (await ask(system, stream=bool(number % 2))).status

    return Counter(await asyncio.gather(*map(one, range(count))))


def calls(system: System, name: str) -> int:
    return sum(request.body["model"] == MODELS[name] for request in system.emulator.requests)


async def recover(system: System) -> None:
    """Let the upstream be well again, and the longest rest pass."""
    system.emulator.faults.clear()
    system.time.ahead += 60
    # The one that probes; those beside it would be refused.
    assert (await ask(system)).status == 200
    assert (await ask_many(system, 10))[200] == 10
    system.emulator.requests.clear()


def changes(system: System, state: str) -> float:
    name = "modelplane_circuit_changes_total"
    return system.registry.get_sample_value(name, {"state": state}) or 0


FAULTS = [
    Fault("status", status=500),
    Fault("status", status=503, headers={"retry-after": "1"}),
    Fault("status", status=429),
    Fault("status", status=429, headers={"retry-after": str(LONG_PAUSE)}),
    Fault("drop"),
    Fault("garbage"),
    Fault("stall"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
async def test_a_fallback_serves_while_an_upstream_is_out(system: System, fault: Fault) -> None:
    # Else a busy machine is slower than an upstream may be.
    patience = 2 if fault.kind == "stall" else 30
    await serve(system, "first", "second", retries=2, first_byte_seconds=patience)
    system.emulator.faults.put(MODELS["first"], fault)
    assert await ask_many(system) == {200: _REQUESTS}
    assert calls(system, "second") == _REQUESTS
    if fault.status != 429:
        assert changes(system, "open") >= 1
        # The few that were under way when it opened, and their retries.
        assert calls(system, "first") <= 5 + 2 * _CONCURRENT
    await recover(system)
    assert changes(system, "open") == changes(system, "closed")
    assert await ask_many(system, 20) == {200: 20}
    assert calls(system, "first") == 20


@pytest.mark.parametrize("fault", FAULTS[:-1], ids=lambda fault: f"{fault.kind}-{fault.status}")
async def test_retries_do_not_multiply_an_outage(system: System, fault: Fault) -> None:
    await serve(system, "first", retries=2, first_byte_seconds=30)
    system.emulator.faults.put(MODELS["first"], fault)
    statuses = await ask_many(system)
    assert 200 not in statuses
    assert calls(system, "first") <= 1.2 * _REQUESTS
    await recover(system)
    assert await ask_many(system, 20) == {200: 20}


async def test_a_flickering_upstream_costs_few_retries(system: System) -> None:
    await serve(system, "first", retries=2)
    for _ in range(20):
        system.emulator.faults.put(MODELS["first"], Fault("status", status=503, times=2))
        await ask_many(system, 20)
    assert calls(system, "first") <= 1.2 * 400


async def test_a_trickling_upstream_is_no_broken_one(system: System) -> None:
    await serve(system, "first", "second", retries=2)
    system.emulator.faults.put(MODELS["first"], Fault("trickle"))
    assert await ask_many(system, 20) == {200: 20}
    assert calls(system, "second") == 0
