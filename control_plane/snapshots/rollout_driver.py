"""Drives rollouts: prepare on every worker, then activate on every worker, then done.

A version is PREPARING until every connected worker has compiled it and each of its hosted models
has had a replica that is ready, then ACTIVATING until every one serves it; only then does the API
report it. Each phase waits for a revision to be acknowledged. Any replica may take any step, since
a step names the phase that it starts from (`store.endpoints.rollouts`), so a replica that dies
leaves nothing undone. How long a phase takes is measured by each replica from when it first saw it,
with a clock that nobody can set: a restart begins anew, and a machine's time may jump.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelserving.worker.v1.snapshot_service_pb2 import Nack
from prometheus_client import Counter

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock, Signal, steady_clock, wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.hosting.deployments import failure_of
from modelplane.control_plane.rollout import answered_early
from modelplane.control_plane.snapshots.readiness import Readiness, all_at
from modelplane.control_plane.snapshots.rollout_history import RolloutHistory
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.endpoints import refusals, rollouts
from modelplane.control_plane.store.endpoints.refusals import NewRefusal
from modelplane.control_plane.store.endpoints.rollouts import RolloutState
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.replicas import ConnectedWorker, WorkerProgress
from modelplane.control_plane.store.states import Phase

_log = logging.getLogger(__name__)

# How long an API call waits for the workers before it answers with the state as it is.
ANSWER_SECONDS = 2.0
# Steps that other replicas took are seen by looking; this is how often.
_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 1.0
# Extra time for another replica to drop its laggards before its word no longer counts.
_OTHERS_GRACE_MS = 3_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the steps of a rollout may take.

    Attributes:
        prepare_ms: After this, a worker that has not acknowledged is dropped and the rollout fails.
        activate_ms: After this, a worker that has not activated is dropped.
        deploy_ms: After this, hosted models that have had no replica have failed.
    """

    prepare_ms: int = 10_000
    activate_ms: int = 10_000
    deploy_ms: int = 1_080_000


class Peers(Protocol):
    """What the other replicas say of their workers."""

    async def others(self) -> list[WorkerProgress]:
        """Return the progress of each other live replica."""

    async def workers_of_others(self) -> list[ConnectedWorker]:
        """Return the workers of each other live replica."""


class RolloutDriver:
    """Moves rollouts on as workers acknowledge, refuse, or stay silent.

    Attributes:
        peers: The other replicas.
        history: What each worker made of each rollout.
        early_answers: Counts changes that were answered before all workers had followed.
    """

    def __init__(
        self,
        database: Database,
        watchers: Watchers,
        peers: Peers,
        clock: Clock,
        changed_at: Callable[[str], int],
        *,
        timeouts: Timeouts | None = None,
        steady: Clock = steady_clock,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where the rollouts are.
            watchers: Workers connected to this replica.
            peers: The other replicas.
            clock: The time, which is noted and measures nothing.
            changed_at: Returns the newest revision of an endpoint.
            timeouts: How long the steps of a rollout may take.
            steady: Measures what takes how long.
        """
        self._database = database
        self._watchers = watchers
        self.peers = peers
        self._clock = clock
        self._steady = steady
        self._readiness = Readiness(database, watchers, peers, steady, changed_at)
        self.history = RolloutHistory(database, watchers, peers)
        self._timeouts = timeouts or Timeouts()
        self.early_answers = Counter(
            "modelplane_changes_answered_early",
            "Changes that were answered before all workers had followed.",
            registry=None,
        )
        # When this replica first saw a phase of a rollout.
        self._seen_ms: dict[tuple[str, int, Phase], int] = {}
        self._hinted = asyncio.Event()
        # Whether it matters here that workers move: not where no rollout is in progress.
        self._awaits_workers = True
        # A step was taken; a worker moved.
        self._stepped = Signal()
        self._moved = Signal()

    @property
    def refused(self) -> int:
        """How many endpoints are to serve what a worker refuses."""
        return self._readiness.refused

    def hint(self) -> None:
        """Look now: something was committed."""
        self._hinted.set()
        self._moved.send()

    def moved(self) -> None:
        """Look now if that matters: a worker came, went or followed."""
        if self._awaits_workers:
            self._hinted.set()
        self._moved.send()

    async def run(self, hold_seconds: float = 0.0) -> None:
        """Drive rollouts until cancelled.

        Args:
            hold_seconds: Take no step for so long: after a restart, the workers are there but not
                connected yet.
        """
        await asyncio.sleep(hold_seconds)
        while True:
            self._hinted.clear()
            seconds = _LOOK_SECONDS
            try:
                seconds = _LOOK_SECONDS if await self.step() else _IDLE_SECONDS
            except StoreUnavailable as error:
                _log.warning("rollouts wait for the database", extra=log_fields(error=str(error)))
            await wait_for(self._hinted, seconds)

    async def step(self) -> bool:
        """Take every step that can be taken now; return whether a rollout waits for workers."""
        # Until it is known that nothing does: a worker may move while this looks.
        self._awaits_workers = True
        async with self._database.read() as session:
            seen = await self._readiness.look(session)
            pending = await rollouts.read_rollouts(session)
        unsure = await self._readiness.correct(seen)
        now_ms = self._steady()
        self._seen_ms = {rollout.key: self._seen_ms.get(rollout.key, now_ms) for rollout in pending}
        await self.history.follow({rollout.version_key for rollout in pending})
        # Nothing is decided while this replica's own workers have time left to follow.
        is_due = any(self._is_due(rollout, now_ms) for rollout in pending)
        others = await self.peers.others() if is_due else None
        # Each of them, not only until the first that does.
        waiting = any([await self._step_one(one, others, now_ms) for one in pending])
        self._awaits_workers = waiting or unsure
        return waiting

    def deadline_ms(self, rollout: RolloutState, *, starts: bool) -> int | None:
        """Return when a phase is given up, milliseconds since the epoch; None: nobody knows yet.

        Args:
            rollout: The rollout.
            starts: Whether a hosted model has to start first.
        """
        seen_ms = self._seen_ms.get(rollout.key)
        if seen_ms is None:
            return None
        limits = self._timeouts
        preparing_ms = limits.deploy_ms if starts else limits.prepare_ms
        limit_ms = preparing_ms if rollout.phase is Phase.PREPARING else limits.activate_ms
        return self._clock() - self._steady() + seen_ms + limit_ms

    async def refuse(self, worker_id: str, nacks: Sequence[Nack]) -> None:
        """Note what a worker refused of one revision.

        It fails a rollout that is still being prepared, and is told in the state of an endpoint
        that is to serve what was refused.
        """
        for nack in nacks:
            fields = {"worker": worker_id, "endpoint_id": nack.endpoint_id}
            _log.warning(
                "worker refused a configuration", extra=log_fields(**fields, reason=nack.reason)
            )
            reason = f"Worker {worker_id} refused the configuration: {nack.reason}"
            # Each by itself: who has made a revision may wait for no other endpoint.
            async with self._database.write() as transaction:
                ended = await self._refuse(transaction, nack, reason)
                self.history.refuse(worker_id, nack, ended=ended)
        # From now on it matters who comes and goes.
        self._hinted.set()
        self._stepped.send()

    async def wait_settled(self, endpoint_id: str) -> None:
        """Return when the endpoint has no rollout in progress, at the latest after two seconds."""
        async for _ in _looks(self._stepped):
            async with self._database.read() as session:
                if not await rollouts.awaits_workers(session, endpoint_id):
                    return

    async def wait_applied(self, revision: int) -> None:
        """Return when every worker has acknowledged `revision`, at the latest after two seconds.

        The log says which have not by then, and `answered_early` tells the caller: a revoked token
        may still be good there.
        """
        async for _ in _looks(self._moved):
            if self._watchers.behind(revision):
                continue
            if all_at(await self.peers.others(), revision):
                return
        answered_early.set(True)
        self.early_answers.inc()
        late = [worker.worker_id for worker in self._watchers.behind(revision)]
        fields = {"revision": revision, "workers": late or "of another replica"}
        _log.warning("answered before all workers followed", extra=log_fields(**fields))

    def _is_acknowledged(self, rollout: RolloutState, others: list[WorkerProgress] | None) -> bool:
        """Tell whether all workers have followed; what was not asked of others is not assumed."""
        if others is None or self._watchers.behind(rollout.revision):
            return False
        return all_at(others, rollout.revision)

    def _is_due(self, rollout: RolloutState, now_ms: int) -> bool:
        limits = self._timeouts
        age_ms = now_ms - self._seen_ms[rollout.key]
        late = age_ms > min(limits.prepare_ms, limits.activate_ms)
        return late or not self._watchers.behind(rollout.revision)

    async def _step_one(
        self, rollout: RolloutState, others: list[WorkerProgress] | None, now_ms: int
    ) -> bool:
        """Take the step of a rollout that can be taken; return whether it waits for workers."""
        age_ms = now_ms - self._seen_ms[rollout.key]
        acknowledged = self._is_acknowledged(rollout, others)
        if rollout.phase is Phase.PREPARING:
            late = age_ms > self._timeouts.prepare_ms
            if await self._awaits_groups(rollout, age_ms) and (acknowledged or not late):
                return not acknowledged
            await self._step_preparing(rollout, acknowledged=acknowledged, late=late)
            return True
        late_ms = age_ms - self._timeouts.activate_ms
        if not acknowledged and late_ms > 0:
            self._drop(rollout)
            acknowledged = self._is_acknowledged(rollout, others) or late_ms > _OTHERS_GRACE_MS
        if acknowledged:
            ready = len(self._watchers) + sum(other.workers for other in others or ()) > 0
            async with self._database.write() as transaction:
                await rollouts.complete(transaction, rollout, ready=ready, now_ms=self._clock())
            self._stepped.send()
        return True

    async def _awaits_groups(self, rollout: RolloutState, age_ms: int) -> bool:
        """Tell whether a hosted model has had no replica yet; fail the rollout if none comes."""
        if not rollout.group_ids:
            return False
        async with self._database.read() as session:
            needed = await groups.load(session, rollout.group_ids)
        failure = failure_of(needed, late=age_ms > self._timeouts.deploy_ms)
        if failure:
            await self._fail(rollout, failure.reason, failure.aborted)
            return True
        return any(not group.ready_once for group in needed)

    async def _step_preparing(
        self, rollout: RolloutState, *, acknowledged: bool, late: bool
    ) -> None:
        if acknowledged:
            async with self._database.write() as transaction:
                await rollouts.begin_activation(transaction, rollout, self._clock())
        elif late:
            laggards = self._watchers.behind(rollout.revision)
            names = ", ".join(worker.worker_id for worker in laggards) or "of another replica"
            self.history.drop(rollout.version_key, laggards)
            await self._fail(rollout, f"No acknowledgement in time from worker {names}.")
            self._watchers.drop(laggards)

    def _drop(self, rollout: RolloutState) -> None:
        laggards = self._watchers.behind(rollout.revision)
        self.history.drop(rollout.version_key, laggards)
        self._watchers.drop(laggards)

    async def _fail(self, rollout: RolloutState, reason: str, aborted: str = "") -> None:
        async with self._database.write() as transaction:
            await rollouts.fail(transaction, rollout, reason, self._clock(), aborted)
        self._stepped.send()

    async def _refuse(self, transaction: Transaction, nack: Nack, reason: str) -> bool:
        key = nack.endpoint_id, nack.config_version
        rollout = RolloutState(*key, Phase.PREPARING, nack.revision)
        if await rollouts.fail(transaction, rollout, reason, self._clock()):
            return True
        if nack.serving:
            reason += " It goes on serving what it had before."
        refusal = NewRefusal(*key, nack.revision, serving=nack.serving, message=reason)
        await refusals.note(transaction, refusal)
        return False


async def _looks(signal: Signal) -> AsyncIterator[None]:
    """Yield at once, at each signal, and now and then, until an answer is due."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ANSWER_SECONDS
    while loop.time() < deadline:
        # Taken before looking, so that what happens meanwhile is not slept through.
        event = signal.event
        yield
        await wait_for(event, _LOOK_SECONDS)
