"""PostgreSQL's LISTEN: hints that another replica committed something.

A hint may get lost with its connection; whoever listens also looks by itself now and then.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import asyncpg

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.store.database import CHANNEL

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 5.0


async def listen(database_url: str, listeners: Sequence[Callable[[], None]]) -> None:
    """Call `listeners` at each hint, until cancelled; reconnect as often as needed."""
    dsn = database_url.replace("postgresql+asyncpg://", "postgresql://")
    while True:
        try:
            await _listen_once(dsn, listeners)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("no hints from the database", extra=log_fields(error=str(error)))
        await asyncio.sleep(_RETRY_SECONDS)


async def _listen_once(dsn: str, listeners: Sequence[Callable[[], None]]) -> None:
    def on_hint(*_: object) -> None:
        for listener in listeners:
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
