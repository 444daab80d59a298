"""Tells the control plane what is asked of groups: at once that one is needed, else each second.

`../snapshots/watcher.py` runs it for as long as a watch stream lasts, over which it tells. Without
anything to tell it sleeps.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

from modelserving.worker.v1 import hosting_pb2 as pb
from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigRequest

from modelplane.data_plane.hosting.group import Group
from modelplane.data_plane.hosting.groups import Groups

_REPORT_SECONDS = 1.0
_WAKE_SECONDS = 1.0
_MS = 1000


class Demand:
    """Tells of groups."""

    def __init__(self, groups: Groups) -> None:
        """Tell of `groups`."""
        self._groups = groups
        self._report_at = inf

    async def run(self, send: Callable[[WatchConfigRequest], Awaitable[None]]) -> None:
        """Tell until cancelled.

        Args:
            send: Sends a message to the control plane.
        """
        loop = asyncio.get_running_loop()
        groups = self._groups
        # What an earlier stream was told may have gone with it.
        for group in groups.stirred:
            group.counts.woken_at = -inf
        while True:
            groups.news.clear()
            now = loop.time()
            next_wake = await self._wake(send, now)
            await self._report(send, now)
            await _wait(groups.news, min(next_wake, self._report_at) - now)

    async def _wake(
        self, send: Callable[[WatchConfigRequest], Awaitable[None]], now: float
    ) -> float:
        """Wake the groups that have to be; return when that is to be looked at again."""
        again = inf
        for group in [group for group in self._groups.stirred if group.needs_wake]:
            due = group.counts.woken_at + _WAKE_SECONDS
            if due <= now:
                group.counts.woken_at = now
                due = now + _WAKE_SECONDS
                wake = pb.Wake(group_id=group.id, waiting=group.waiting)
                await send(WatchConfigRequest(wake=wake))
            again = min(again, due)
        return again

    async def _report(
        self, send: Callable[[WatchConfigRequest], Awaitable[None]], now: float
    ) -> None:
        """Report, if it is time to."""
        stirred = self._groups.stirred
        if stirred and self._report_at == inf:
            self._report_at = now + _REPORT_SECONDS
        if now < self._report_at:
            return
        report = pb.DemandReport()
        for group in list(stirred):
            demand = _demand(group, now)
            says = bool(demand.in_flight or demand.waiting or demand.arrivals or demand.refused)
            if says or group.counts.told:
                report.groups.append(demand)
            group.counts.told = says
            if not says:
                self._groups.calm(group)
        self._report_at = now + _REPORT_SECONDS if stirred else inf
        if report.groups:
            await send(WatchConfigRequest(demand=report))


def _demand(group: Group, now: float) -> pb.GroupDemand:
    in_flight, arrivals, refused, tokens = group.counts.take(now)
    return pb.GroupDemand(
        group_id=group.id,
        in_flight=in_flight,
        waiting=group.waiting,
        oldest_wait_ms=int(group.oldest_wait(now) * _MS),
        arrivals=arrivals,
        refused=refused,
        tokens_per_second=tokens,
    )


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(None if seconds == inf else max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return
