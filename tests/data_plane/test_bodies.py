import asyncio
import json

import pytest

from modelplane.data_plane.bodies import SMALL_BYTES, Bodies
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import CallerFull, WorkerFull
from modelplane.data_plane.snapshots.callers import Principal
from tests.data_plane.conftest import System
from tests.data_plane.messages import endpoint, endpoint_config, snapshot

LARGE = SMALL_BYTES + 1


def record_of(caller: str) -> Record:
    record = Record("r", 0.0)
    record.principal = Principal(caller, caller)
    return record


def test_what_is_held_is_given_back() -> None:
    bodies = Bodies(10 * LARGE)
    record = record_of("a")
    for size in (10, LARGE, 2 * LARGE, 3 * LARGE):
        bodies.hold(record, size)
    assert bodies.held_bytes == 3 * LARGE
    bodies.give_back(record)
    bodies.give_back(record)
    assert (bodies.held_bytes, bodies._callers) == (0, {})


def test_small_bodies_are_not_counted() -> None:
    bodies = Bodies(0)
    bodies.hold(record_of("a"), SMALL_BYTES)
    assert bodies.held_bytes == 0


def test_one_caller_has_half() -> None:
    bodies = Bodies(4 * LARGE)
    records = [record_of("a"), record_of("a")]
    for record in records:
        bodies.hold(record, LARGE)
    with pytest.raises(CallerFull):
        bodies.hold(record_of("a"), LARGE)
    bodies.hold(record_of("b"), 2 * LARGE)
    with pytest.raises(WorkerFull):
        bodies.hold(record_of("c"), LARGE)
    bodies.give_back(records[0])
    bodies.hold(record_of("c"), LARGE)


@pytest.fixture
async def served(system: System) -> System:
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(system.entity()))))
    return system


def held(system: System) -> float | None:
    return system.registry.get_sample_value("modelplane_request_body_bytes")


async def test_a_large_body_is_held_until_its_answer(served: System) -> None:
    served.emulator.misbehave("stall", times=1)
    body = {"messages": [{"role": "user", "content": "a" * 300_000}]}
    call = served.start_query("chat", body)
    while not served.emulator.requests:
        await asyncio.sleep(0.01)
    size = held(served)
    assert size is not None
    assert size >= len(json.dumps(body))
    call.cancel()
    while held(served):
        await asyncio.sleep(0.01)
    assert (await served.query("chat", body)).status == 200
    assert held(served) == 0


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelplane.data_plane.bodies._SHARE_OF_CALLER", 0.0002)


@pytest.mark.usefixtures("little_room")
async def test_a_body_for_which_there_is_no_room_is_refused(served: System) -> None:
    body = {"messages": [{"role": "user", "content": "a" * 300_000}]}
    answer = await served.query("chat", body)
    assert (answer.status, answer.error_code) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] == "1"
    assert held(served) == 0
    small = {"messages": [{"role": "user", "content": "a"}]}
    assert (await served.query("chat", small)).status == 200
