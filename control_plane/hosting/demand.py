"""What workers ask of groups: taken from their watch streams, and put where all replicas see it.

Before: `snapshots.servicer` hands it over. After: `scaling`, `store.hosting.demand`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1.hosting_pb2 import DemandReport, GroupDemand, ReplicaGroup, Wake
from prometheus_client import CollectorRegistry, Counter, Histogram

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.hosting.demand import save_demand
from modelplane.control_plane.store.states import GroupPhase

_log = logging.getLogger(__name__)

# What is told within this time is stored together.
_STORE_SECONDS = 0.5
_WAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class DemandIntake:
    """Takes what workers ask, and starts groups that are at zero."""

    def __init__(
        self,
        database: Database,
        clock: SharedClock,
        group_of: Callable[[str], ReplicaGroup | None],
        registry: CollectorRegistry,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where the groups are.
            clock: The time.
            group_of: Returns what workers are told of a group now.
            registry: Where the metrics go.
            sleep: Waits for seconds.
        """
        self._sleep = sleep
        self._database = database
        self._clock = clock
        self._group_of = group_of
        # By group and worker: what was told since it was stored last.
        self._told: dict[tuple[str, str], GroupDemand] = {}
        self._hinted = asyncio.Event()
        # Groups to be started, and since when.
        self._woken: dict[str, float] = {}
        self._wake_hint = asyncio.Event()
        self._wakes = Counter(
            "modelplane_group_wakes", "Groups started from zero.", registry=registry
        )
        self._wake_seconds = Histogram(
            "modelplane_group_wake_seconds",
            "Time from a worker's wake to the group's start being stored and told.",
            buckets=_WAKE_BUCKETS,
            registry=registry,
        )

    def note(self, worker_id: str, report: DemandReport) -> None:
        """Take what a worker asks now."""
        for demand in report.groups:
            if self._group_of(demand.group_id) is not None:
                self._told[demand.group_id, worker_id] = demand
                self._hinted.set()

    def wake(self, wake: Wake) -> None:
        """Have a group started that is at zero; of any other, do nothing."""
        group = self._group_of(wake.group_id)
        if group is not None and group.phase == hosting_pb2.GROUP_PHASE_IDLE:
            self._woken.setdefault(wake.group_id, time.perf_counter())
            self._wake_hint.set()

    async def run_wakes(self) -> None:
        """Start groups at once when workers ask for them, until cancelled."""
        while True:
            await self._wake_hint.wait()
            self._wake_hint.clear()
            woken, self._woken = self._woken, {}
            try:
                await self._start(woken)
            except StoreUnavailable as error:
                # The workers ask again.
                _log.warning("groups not started", extra=log_fields(error=str(error)))

    async def run(self) -> None:
        """Store what is told, until cancelled."""
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            told, self._told = self._told, {}
            try:
                async with self._database.write() as transaction:
                    now_ms = await self._clock.now_ms(transaction.session)
                    await save_demand(transaction, told, now_ms)
            except StoreUnavailable as error:
                _log.warning("demand not stored", extra=log_fields(error=str(error)))
                self._told = {**told, **self._told}
                self._hinted.set()
            await self._sleep(_STORE_SECONDS)

    async def _start(self, woken: Mapping[str, float]) -> None:
        async with self._database.write() as transaction:
            now_ms = await self._clock.now_ms(transaction.session)
            started = [
                replace(
                    group,
                    desired=max(1, group.model.scale.min_replicas),
                    generation=group.generation + 1,
                    last_request_ms=now_ms,
                )
                for group in await groups.lock(transaction, woken.keys())
                if group.desired == 0 and group.phase is GroupPhase.IDLE
            ]
            await groups.save(transaction, started)
            await groups.tell(transaction, started)
        for group in started:
            self._wakes.inc()
            self._wake_seconds.observe(time.perf_counter() - woken[group.id])
