"""Keeps what endpoints say of themselves true between rollouts: ready means that workers serve it.

A worker may refuse a configuration long after it was rolled out, because a secret changed or
because it has just started. The refusal is stored, and taken back when every worker has applied a
newer revision of the endpoint without one. Before: `rollout_driver`, with each of its steps. After:
`watchers`, `store.endpoints.refusals`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints import refusals, rollouts
from modelplane.control_plane.store.endpoints.refusals import StoredRefusal
from modelplane.control_plane.store.replicas import WorkerProgress

# A worker that was cut off or restarts is back by then.
_ABSENCE_MS = 5_000
# What was refused is pushed again at most so often, however many workers come and go.
_ASK_EVERY_MS = 10_000


class Peers(Protocol):
    """What the other replicas say of their workers."""

    async def others(self) -> list[WorkerProgress]:
        """Return the progress of each other live replica."""


class Seen(NamedTuple):
    """What was read of all endpoints at one time.

    Attributes:
        refused: What workers refuse.
        unready: Whether there is an endpoint that gets ready as workers follow.
        applied: Revision that a worker has applied and by which one is; None: there is none yet.
    """

    refused: list[StoredRefusal]
    unready: bool
    applied: int | None


class Readiness:
    """Judges by what the workers have acknowledged and refused.

    Attributes:
        refused: How many endpoints were to serve what a worker refuses, at the last look.
    """

    def __init__(
        self,
        database: Database,
        watchers: Watchers,
        peers: Peers,
        clock: Clock,
        changed_at: Callable[[str], int],
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where the endpoints are.
            watchers: Workers connected to this replica.
            peers: The other replicas.
            clock: Measures time.
            changed_at: Returns the newest revision of an endpoint.
        """
        self._database = database
        self._watchers = watchers
        self._peers = peers
        self._clock = clock
        self._changed_at = changed_at
        self.refused = 0
        self._asked: frozenset[str] = frozenset()
        self._asked_ms = 0
        # Since when this replica has no worker; None: it has one.
        self._alone_since_ms: int | None = None

    async def look(self, session: Session) -> Seen:
        """Return what may not be true any longer."""
        unready = await rollouts.has_unready(session)
        fastest = self._watchers.fastest()
        return Seen(
            refused=await refusals.read_all(session),
            unready=unready,
            applied=fastest if unready and await rollouts.has_unready(session, fastest) else None,
        )

    async def correct(self, seen: Seen) -> bool:
        """Correct what is no longer true; return whether more changes when workers follow."""
        self.refused = len(seen.refused)
        if seen.applied is not None:
            async with self._database.write() as transaction:
                await rollouts.mark_ready(transaction, seen.applied)
        await self._take_back(seen.refused)
        await self._ask_again(seen.refused)
        # What this makes unready was not yet when it was looked at.
        return await self._note_absence() or seen.unready or bool(seen.refused)

    async def _take_back(self, refused: list[StoredRefusal]) -> None:
        others = await self._peers.others() if refused else []
        mended = [item for item in refused if self._is_mended(item, others)]
        if mended:
            async with self._database.write() as transaction:
                await refusals.remove(transaction, mended)

    async def _ask_again(self, refused: list[StoredRefusal]) -> None:
        """Push once more what was refused when other workers are there than before.

        The one that refused may be gone, and one that has come may do better.
        """
        workers = frozenset(watcher.worker_id for watcher in self._watchers)
        if workers == self._asked:
            return
        if refused:
            now_ms = self._clock()
            if now_ms - self._asked_ms < _ASK_EVERY_MS:
                return
            self._asked_ms = now_ms
            async with self._database.write() as transaction:
                await refusals.ask_again(transaction, refused)
        self._asked = workers

    def _is_mended(self, refusal: StoredRefusal, others: Iterable[WorkerProgress]) -> bool:
        """Tell whether every worker has applied a newer revision of the endpoint.

        One that refuses that revision has said so before it acknowledges it.
        """
        changed_at = self._changed_at(refusal.endpoint_id)
        return (
            changed_at > refusal.revision
            and len(self._watchers) > 0
            and not self._watchers.behind(changed_at)
            and all_at(others, changed_at)
        )

    async def _note_absence(self) -> bool:
        """Mark all endpoints as not ready once no worker has been there for a while.

        Return whether any was marked.
        """
        if len(self._watchers):
            self._alone_since_ms = None
            return False
        if self._alone_since_ms is None:
            self._alone_since_ms = self._clock()
        if self._clock() - self._alone_since_ms < _ABSENCE_MS:
            return False
        async with self._database.read() as session:
            has_ready = await rollouts.has_ready(session)
        if not has_ready or any(other.workers for other in await self._peers.others()):
            return False
        async with self._database.write() as transaction:
            await rollouts.mark_unserved(transaction)
        return True


def all_at(others: Iterable[WorkerProgress], revision: int) -> bool:
    """Tell whether the workers of all other replicas have acknowledged a revision."""
    return all(other.acked_revision >= revision for other in others)
