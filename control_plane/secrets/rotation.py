"""Wraps every sealed value with the current master key, beside the running deployment.

Each value is replaced only if it is still the one that was read, so nothing that is written at the
same time is lost, and a rotation that was killed is finished by the next. Before: `keys`. After:
`encryption`, `store.secrets.sealed`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from modelplane.control_plane.secrets.encryption import SealBroken, Sealer, wrapped_by
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.sealed import (
    SEALED,
    SealedTable,
    SealedValue,
    forget_replaced,
    read_sealed,
    replace_sealed,
)

# Values in one transaction: others wait for it.
_BATCH = 100


@dataclass(slots=True)
class Rotation:
    """What became of the sealed values."""

    rewrapped: int = 0
    # Places of values that no master key opens.
    broken: set[str] = field(default_factory=set)


async def count_by_key(database: Database) -> Counter[str]:
    """Return the number of sealed values by the identifier of the master key that wraps them.

    Those of the first releases, which name none, are counted under the empty identifier.
    """
    counts: Counter[str] = Counter()
    async for _, batch in _read_all(database):
        counts.update(wrapped_by(value.sealed) for value in batch)
    return counts


async def rewrap_all(
    database: Database, sealer: Sealer, on_progress: Callable[[int], None]
) -> Rotation:
    """Wrap all sealed values with the current master key.

    Args:
        database: Where they are.
        sealer: Opens and wraps them.
        on_progress: Called with the number of values wrapped so far.

    Raises:
        StoreUnavailable: The database or a key service does not answer; call again to go on.
    """
    rotation = Rotation()
    settled = False
    # What others changed in the meantime is looked at once more.
    while not settled:
        settled = True
        async for table, batch in _read_all(database):
            found, replaced = await _rewrap(database, sealer, table, batch, rotation)
            settled = settled and not found
            if replaced:
                rotation.rewrapped += replaced
                on_progress(rotation.rewrapped)
    await forget_replaced(database)
    return rotation


async def _rewrap(
    database: Database,
    sealer: Sealer,
    table: SealedTable,
    batch: Sequence[SealedValue],
    rotation: Rotation,
) -> tuple[int, int]:
    """Return how many values had to be wrapped again, and how many were."""

    async def rewrap(value: SealedValue) -> bytes | None:
        try:
            return await sealer.rewrap(value.sealed, value.place)
        except SealBroken:
            rotation.broken.add(value.place.decode())
            return None

    new = await asyncio.gather(*(rewrap(value) for value in batch))
    changed = [(value, sealed) for value, sealed in zip(batch, new, strict=True) if sealed]
    if not changed:
        return 0, 0
    async with database.write() as transaction:
        replaced = [
            await replace_sealed(transaction, table, value, sealed) for value, sealed in changed
        ]
    return len(changed), sum(replaced)


async def _read_all(
    database: Database,
) -> AsyncIterator[tuple[SealedTable, Sequence[SealedValue]]]:
    for table in SEALED:
        after = None
        while True:
            async with database.read() as session:
                batch = await read_sealed(session, table, after, _BATCH)
            if not batch:
                break
            yield table, batch
            after = batch[-1].key
