"""Puts new processes in the place of running workers and of Envoy, so that no request is lost.

`supervisor.py` does so when it gets SIGUSR1, for example after an upgrade. Beside: `parts.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from modelplane.deploy.local.child import Child
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.parts import Parts
from modelplane.deploy.local.plan import ENVOY, Plan, listen_of

_POLL_SECONDS = 0.1
_READY_SECONDS = 60.0
# For a new process that is not taken.
_GRACE_SECONDS = 5.0


class _NotReady(Exception):
    """A new process does not come to serve."""


class Renewal:
    """Replaces one process after another."""

    def __init__(self, plan: Plan, parts: Parts, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._parts = parts
        self._say = say
        # How often each part was replaced.
        self._turns = dict.fromkeys((*plan.worker_names, ENVOY), 0)

    async def renew(self) -> None:
        """Replace the workers and then Envoy; what does not come to serve leaves the old one."""
        try:
            for name in self._plan.worker_names:
                await self._renew_worker(name)
            await self._renew_envoy()
        except (_NotReady, OSError) as error:
            self._say(f"not all is new: {error}")
        else:
            self._say("all workers and Envoy are new")

    async def _renew_worker(self, name: str) -> None:
        parts, turn = self._parts, self._turns[name] + 1
        new = parts.start(self._plan.worker(name, turn))
        listen = listen_of(new.spec)

        async def is_ready() -> bool:
            return (await HttpClient(listen).call("GET", "/health")).ok

        async def is_sent_requests() -> bool:
            return (await parts.admin.workers()).get(listen.path, False)

        try:
            await _until(is_ready, new)
            parts.tell_envoy((*parts.workers(), new.spec))
            await _until(is_sent_requests, new)
        except BaseException:
            await new.stop(_GRACE_SECONDS)
            parts.tell_envoy(parts.workers())
            raise
        old = parts.put_in_place(new)
        self._turns[name] = turn
        parts.tell_envoy(parts.workers())

        async def is_forgotten() -> bool:
            return listen_of(old.spec).path not in await parts.admin.workers()

        try:
            # Envoy itself closes what is idle then, and sends nothing more.
            await _until(is_forgotten, new)
        finally:
            await parts.stop(old)

    async def _renew_envoy(self) -> None:
        parts, epoch = self._parts, self._turns[ENVOY] + 1
        if self._plan.hot_restart(epoch) is None:
            raise _NotReady("Envoy stays: without shared memory none can take its place")
        if parts.ends(ENVOY):
            raise _NotReady("Envoy stays: the one before it still has time to end its calls")
        new = parts.start(self._plan.envoy(epoch))

        async def is_live() -> bool:
            return await parts.admin.is_live(epoch)

        try:
            await _until(is_live, new)
        except BaseException:
            await new.stop(_GRACE_SECONDS)
            raise
        # The new one tells the old one when to end.
        parts.put_in_place(new)
        self._turns[ENVOY] = epoch


async def _until(condition: Callable[[], Awaitable[bool]], child: Child) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not await condition():
        if child.deaths or time.monotonic() > deadline:
            spec = child.spec
            raise _NotReady(f"{spec.name} stays: a new one does not serve (log: {spec.log_file})")
        await asyncio.sleep(_POLL_SECONDS)
