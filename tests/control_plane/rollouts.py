"""Rollouts without workers: what the driver would have done is done when a use case waits."""

from sqlmodel import col, select

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.rollout import answered_early
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import rollouts
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import EndpointRow


class FakeRollout:
    """Settles rollouts at once, fails them with a reason, or leaves them in a phase."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.refusal = ""
        self.stop_at = Phase.SETTLED
        # Whether workers follow later than callers are answered.
        self.late = False
        # Revisions that were waited for.
        self.applied: list[int] = []

    async def wait_settled(self, endpoint_id: str) -> None:
        """Take the steps that the worker-less driver would take."""
        while await self._step(endpoint_id):
            pass

    async def wait_applied(self, revision: int) -> None:
        """Note the revision."""
        self.applied.append(revision)
        if self.late:
            answered_early.set(True)

    async def _step(self, endpoint_id: str) -> bool:
        async with self._database.write() as transaction:
            query = select(EndpointRow.phase).where(col(EndpointRow.id) == endpoint_id)
            phase = (await transaction.session.exec(query)).first()
            if phase in (None, Phase.SETTLED, self.stop_at):
                return False
            (rollout,) = [
                item
                for item in await rollouts.read_rollouts(transaction.session)
                if item.endpoint_id == endpoint_id
            ]
            if self.refusal:
                await rollouts.fail(transaction, rollout, self.refusal, self._clock())
            elif rollout.phase is Phase.PREPARING:
                await rollouts.begin_activation(transaction, rollout, self._clock())
            else:
                await rollouts.complete(transaction, rollout, ready=True, now_ms=self._clock())
        return True
