"""PostgreSQL's LISTEN: hints that another replica committed something.

A hint may get lost with its connection; whoever listens also looks by itself now and then.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import asyncpg

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.store.database import CHANNEL, MOVED, Database

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 5.0


async def listen(
    database: Database,
    listeners: Sequence[Callable[[], None]],
    on_moved: Sequence[Callable[[], None]],
) -> None:
    """Call `listeners` at each hint of others, until cancelled; reconnect as often as needed.

    Where others tell only how far their workers are, `on_moved` are called instead.

    What this process commits it hears of at once (`Database.on_commit`): to hear of it again would
    be a second look for each.
    """
    dsn = database.url.replace("postgresql+asyncpg://", "postgresql://")
    while True:
        try:
            await _listen_once(dsn, database.id, listeners, on_moved)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("no hints from the database", extra=log_fields(error=str(error)))
        await asyncio.sleep(_RETRY_SECONDS)


async def _listen_once(
    dsn: str,
    own: str,
    listeners: Sequence[Callable[[], None]],
    on_moved: Sequence[Callable[[], None]],
) -> None:
    def on_hint(*told: object) -> None:
        # The payload comes last; an older release's is empty.
        sender, _, what = str(told[-1]).partition(" ") if told else ("", "", "")
        if sender != own:
            for listener in on_moved if what == MOVED else listeners:
                listener()

    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.add_listener(CHANNEL, on_hint)
        on_hint()
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await connection.execute("SELECT 1", timeout=5)
    finally:
        connection.terminate()
