"""What the machine has of the launcher that is active, or was last, and what models do there.

Before: `pinning`, `pool`, `specs`. After: `throughput`, `store.hosting`.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

from modelserving.launcher.v1.launcher_service_pb2 import Capacity
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.control_plane.hosting.engine_rules import POSSIBLE_ENGINES, Engines, engines_of
from modelplane.control_plane.hosting.throughput import Chunk, estimate, round_down
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.hosting import launchers
from modelplane.control_plane.store.hosting.throughput import read_measured, save_measured


class Measurements:
    """Knows what models do on the machine of a pool's launcher.

    Args:
        database: Where it is kept.
        clock: The time.
        pool: The pool.
    """

    def __init__(self, database: Database, clock: SharedClock, pool: str) -> None:
        self._database = database
        self._clock = clock
        self._pool = pool

    async def engines(self) -> Engines:
        """Return the engines that the launcher has; all, while none has said what it has.

        Then models are refused since it is not there, and not for an engine that it may have.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            launcher = await launchers.read_launcher(session, self._pool)
        if launcher is None or launcher.capacity is None:
            return POSSIBLE_ENGINES
        return engines_of(launcher.capacity)

    async def chunk_of(self, model: HostedModel) -> Chunk:
        """Return the chunk of a model that an engine serves: measured, or else estimated.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            [rate] = await self.rates_of(session, [model])
        return estimate(model) if rate is None else Chunk(round_down(rate), estimated=False)

    async def rates_of(self, session: Session, models: Sequence[HostedModel]) -> list[float | None]:
        """Return tokens per second of each model; None: they were not measured."""
        if not models:
            return []
        machine = await self._machine(session)
        keys = [_key_of(model, machine) for model in models]
        measured = await read_measured(session, keys)
        return [measured.get(key) for key in keys]

    async def save(
        self, transaction: Transaction, measured: Sequence[tuple[HostedModel, float]]
    ) -> None:
        """Store what replicas of models were measured to do, tokens per second."""
        machine = await self._machine(transaction.session)
        rates: Mapping[str, float] = {
            _key_of(model, machine): rate
            for model, rate in measured
            if math.isfinite(rate) and rate > 0
        }
        now_ms = await self._clock.now_ms(transaction.session)
        await save_measured(transaction, rates, now_ms)

    async def _machine(self, session: Session) -> Capacity:
        launcher = await launchers.read_launcher(session, self._pool)
        return (launcher.capacity if launcher else None) or Capacity()


def _key_of(model: HostedModel, machine: Capacity) -> str:
    source, size, options = model.source, model.size, model.engine_options
    on = sorted({one.name for one in machine.devices}) if size.gpus else [machine.processor]
    parts = (
        *(source.name, source.version, source.digest, model.engine),
        *(options.task, str(options.context_tokens)),
        *(repr(size.cpus), str(size.gpus), size.gpu_type, str(size.concurrency)),
        *on,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
