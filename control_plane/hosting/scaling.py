"""Keeps the number of replicas in step with what is asked, and notices that nothing runs any more.

Every control-plane replica runs it; the one that the active launcher is connected to decides.
Before: `demand`, `launcher_servicer`. After: `autoscaler`, `pool`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.hosting.autoscaler import (
    Demand,
    Policy,
    Scaling,
    desired,
    needed,
)
from modelplane.control_plane.hosting.pool import LEASE_MS, Pool
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.hosting.demand import (
    StoredDemand,
    forget_demand,
    read_demand,
)
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import GroupPhase

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# A worker that has said nothing of a group for so long asks nothing of it.
_FRESH_MS = 5_000
_WINDOW_MS = 60_000
# One answer may have the tokens of several seconds.
_NOW_MS = 10_000
_FEWEST = 5
# The time of the last request is stored at most so often.
_NOTE_MS = 10_000
# A group that serves traffic and has failed is tried again after this time.
_RETRY_MS = 300_000
_SWEEP_MS = 60_000


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """When there are fewer replicas.

    Attributes:
        down_ms: How long fewer must do before there are fewer.
        zero_ms: How long there must be no request before there is none.
    """

    down_ms: int = 300_000
    zero_ms: int = 1_800_000


@dataclass
class _Track:
    """What this replica has seen of a group."""

    needed_ms: int
    last_request_ms: int
    # Times, loads and tokens per second of the last minute.
    loads: deque[tuple[int, float, float]] = field(default_factory=deque)

    def add(self, now_ms: int, told: Sequence[StoredDemand]) -> Demand:
        """Add what workers tell now, and return what they ask."""
        in_flight = sum(item.demand.in_flight for item in told)
        waiting = sum(item.demand.waiting for item in told)
        tokens = sum(item.demand.tokens_per_second for item in told)
        self.loads.append((now_ms, in_flight + waiting, tokens))
        while self.loads[0][0] < now_ms - _WINDOW_MS:
            self.loads.popleft()
        now = [value for at, _, value in self.loads if at > now_ms - _NOW_MS]
        return Demand(
            in_flight,
            waiting,
            mean=sum(value for _, value, _ in self.loads) / len(self.loads),
            # The first seconds say little: before them there was nothing.
            tokens=sum(value for _, _, value in self.loads) / max(_FEWEST, len(self.loads)),
            tokens_now=sum(now) / max(_FEWEST, len(now)),
        )


class Scaler:
    """Sets how many replicas each group should have."""

    def __init__(
        self,
        database: Database,
        pool: Pool,
        clock: SharedClock,
        is_active: Callable[[], bool],
        has_groups: Callable[[], bool],
        settings: ScaleSettings,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where groups and demand are.
            pool: What the replicas run on.
            clock: The time.
            is_active: Tells whether the active launcher is connected here.
            has_groups: Tells whether there is any group.
            settings: When there are fewer replicas.
        """
        self._database = database
        self._pool = pool
        self._clock = clock
        self._is_active = is_active
        self._has_groups = has_groups
        self._settings = settings
        self._tracks: dict[str, _Track] = {}
        self._failed_ms: dict[str, int] = {}
        self._swept_ms = 0
        # When it first looked.
        self._begun_ms: int | None = None

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._has_groups():
                continue
            try:
                await self.step()
            except StoreUnavailable as error:
                _log.warning("scaling waits for the database", extra=log_fields(error=str(error)))

    async def step(self) -> None:
        """Look once.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        if not self._is_active():
            self._tracks.clear()
            await self._note_loss()
            return
        async with self._database.read() as session:
            now_ms = await self._clock.now_ms(session)
            current = await groups.load(session, None)
            demand = await read_demand(session, now_ms - _FRESH_MS)
        self._tracks = {
            group.id: self._tracks.get(group.id) or _Track(now_ms, group.last_request_ms)
            for group in current
        }
        scaled = [
            (group, self._scaled(group, demand.get(group.id, ()), now_ms)) for group in current
        ]
        await self._change([(old, new) for old, new in scaled if new != old])
        await self._sweep(now_ms)

    async def _note_loss(self) -> None:
        """Notice that no launcher is there, unless this process may be what was away."""
        async with self._database.read() as session:
            now_ms = await self._clock.now_ms(session)
        if self._begun_ms is None:
            self._begun_ms = now_ms
        if now_ms - self._begun_ms >= LEASE_MS:
            await self._pool.note_loss()

    def _scaled(self, group: StoredGroup, told: Sequence[StoredDemand], now_ms: int) -> StoredGroup:
        """Return the group with as many replicas as it should have."""
        if group.phase is GroupPhase.FAILED:
            return self._retried(group, now_ms)
        self._failed_ms.pop(group.id, None)
        track = self._tracks[group.id]
        if group.phase in (GroupPhase.CREATING, GroupPhase.ABORTED):
            # It is idle from when it can be asked, however long it takes until then.
            track.last_request_ms = now_ms
            return group
        if any(_asks(item) for item in told):
            track.last_request_ms = max(item.updated_ms for item in told if _asks(item))
        demand = track.add(now_ms, told)
        policy = self._policy(group)
        if needed(policy, demand) >= group.desired:
            track.needed_ms = now_ms
        last_ms = max(track.last_request_ms, group.last_request_ms)
        last = Scaling(group.desired, track.needed_ms, last_ms)
        wanted = desired(policy, demand, now_ms, last)
        if wanted != group.desired:
            return _with_replicas(group, wanted, last_ms)
        note_ms = min(_NOTE_MS, self._settings.zero_ms // 10)
        if last_ms - group.last_request_ms > note_ms:
            return replace(group, last_request_ms=last_ms)
        return group

    def _policy(self, group: StoredGroup) -> Policy:
        scale = group.model.scale
        least = max(1, scale.min_replicas)
        return Policy(
            least=least,
            most=max(least, scale.max_replicas),
            scale_to_zero=scale.scale_to_zero,
            concurrency=max(1, group.model.size.concurrency),
            down_ms=self._settings.down_ms,
            zero_ms=self._settings.zero_ms,
            chunk=scale.throughput_chunk,
        )

    def _retried(self, group: StoredGroup, now_ms: int) -> StoredGroup:
        if group.has_ended or not group.ready_once:
            # Whoever deployed it is told, and deploys it again.
            return group
        if now_ms - self._failed_ms.setdefault(group.id, now_ms) < _RETRY_MS:
            return group
        return replace(group, phase=GroupPhase.RECOVERING, generation=group.generation + 1)

    async def _change(self, scaled: Sequence[tuple[StoredGroup, StoredGroup]]) -> None:
        if not scaled:
            return
        async with self._database.write() as transaction:
            locked = await groups.lock(transaction, [old.id for old, _ in scaled])
            # What has changed since it was read is judged anew the next time.
            as_read = [(old, new) for old, new in scaled if old in locked]
            await groups.save(transaction, [new for _, new in as_read])
            moved = [new for old, new in as_read if new.generation != old.generation]
            await groups.tell(transaction, moved)
            await groups.note_shown(transaction, as_read)
        for group in moved:
            fields = {"group": group.id, "entity": group.served_entity_name}
            _log.info("group scaled", extra=log_fields(**fields, replicas=group.desired))

    async def _sweep(self, now_ms: int) -> None:
        if now_ms - self._swept_ms < _SWEEP_MS:
            return
        self._swept_ms = now_ms
        async with self._database.write() as transaction:
            await forget_demand(transaction, now_ms - _SWEEP_MS)


def _asks(told: StoredDemand) -> bool:
    demand = told.demand
    return bool(demand.arrivals or demand.waiting or demand.in_flight)


def _with_replicas(group: StoredGroup, count: int, last_request_ms: int) -> StoredGroup:
    scaled = replace(
        group,
        desired=count,
        generation=group.generation + 1,
        last_request_ms=last_request_ms,
    )
    if count:
        return scaled
    # Workers turn away from its replicas before those end.
    return replace(scaled, phase=GroupPhase.IDLE, replicas=(), message="")
