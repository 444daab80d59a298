"""The lines of a host: one at a time, and one that was given up ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.cluster import hosts
from modelplane.launcher.cluster.cluster import Identity
from modelplane.launcher.cluster.hosts import Host

GROUP = "a" * 32


class Line:
    """What a host says on one stream."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[pb.SyncRequest | None] = asyncio.Queue()

    def say(self, progress: "pb.GroupProgress.ValueType") -> None:
        group = pb.GroupReport(group_id=GROUP, generation=1, progress=progress)
        other = pb.GroupReport(group_id="b" * 32, progress=progress)
        self._said.put_nowait(pb.SyncRequest(report=pb.Report(groups=[other, group])))

    def hang_up(self) -> None:
        self._said.put_nowait(None)

    async def said(self) -> AsyncIterator[pb.SyncRequest]:
        while (said := await self._said.get()) is not None:
            yield said


async def test_a_stream_that_ends_late_does_not_end_the_next_one() -> None:
    host = Host(Identity("pod", GROUP), lambda: None)
    first = host.enter()
    assert host.enter() == 0
    line = Line()
    reading = asyncio.create_task(host.read(first, line.said()))
    line.say(pb.GROUP_PROGRESS_FETCHING)
    line.hang_up()
    await reading
    assert host.has_left
    second = host.enter()
    host.leave(first)
    assert not host.has_left
    assert second not in (0, first)
    assert host.report is not None
    # Of the groups that it reports, its own alone is taken.
    assert host.report.group_id == GROUP
    assert not host.has_fetched


async def test_one_that_was_silent_is_told_to_register_anew() -> None:
    host = Host(Identity("pod", GROUP), lambda: None)
    clock = asyncio.get_running_loop().time
    before = clock()
    session = host.enter()
    after = clock()
    spec = pb.GroupSpec(id=GROUP, generation=1)
    orders = host.orders(session, lambda _: spec)
    assert (await anext(orders)).desired.groups[0] == spec
    assert not host.is_gone(before + hosts._SILENT_SECONDS)
    assert host.is_gone(after + hosts._SILENT_SECONDS + 0.001)
    host.drop()
    with pytest.raises(StopAsyncIteration):
        await anext(orders)
    assert host.enter()
