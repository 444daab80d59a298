"""Callers who leave are noticed, whichever way the server tells of it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from modelplane.data_plane.hosts.departures import Lookout

PRESENT = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


@dataclass
class Caller:
    """A caller as pyvoy tells of it: at once, whether it is there or not."""

    sent: int = 0
    left: bool = False
    here: bool = True
    asked: int = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return PRESENT if self.here else GONE

    async def until_asked(self, times: int) -> None:
        while self.asked < times:
            await asyncio.sleep(0)


async def call(lookout: Lookout, caller: Caller) -> None:
    watch = lookout.watch(caller.receive, caller)
    try:
        await asyncio.Event().wait()
    finally:
        lookout.forget(watch)


async def test_a_caller_is_asked_for_until_it_is_gone() -> None:
    caller = Caller()
    calling = asyncio.ensure_future(call(Lookout(0), caller))
    await caller.until_asked(3)
    assert not calling.done()
    caller.here = False
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert caller.left


async def test_nobody_is_asked_for_to_whom_something_is_being_sent() -> None:
    lookout, quiet, busy = Lookout(0), Caller(), Caller()
    calls = [asyncio.ensure_future(call(lookout, caller)) for caller in (quiet, busy)]
    for count in range(50):
        busy.sent += 1
        await quiet.until_asked(count)
    assert quiet.asked >= 49
    assert busy.asked < quiet.asked
    for each in calls:
        each.cancel()
    await asyncio.wait(calls)


async def test_who_is_forgotten_is_not_asked_for() -> None:
    lookout, other, caller = Lookout(0), Caller(), Caller()
    watching = asyncio.ensure_future(call(lookout, other))
    watch = lookout.watch(caller.receive, caller)
    await caller.until_asked(1)
    lookout.forget(watch)
    asked = caller.asked
    await other.until_asked(other.asked + 3)
    assert caller.asked == asked
    watching.cancel()
    await asyncio.wait([watching])
