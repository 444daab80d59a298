"""Tries the served entities that may answer a query, until one does.

Called by `invocation.py` with the candidates in order; `relay.py` makes one attempt.
"""

from collections.abc import Sequence

from data_plane.relay import Exchange, Relay
from data_plane.snapshot import ServedEntity


class Attempts:
    """Answers queries over a relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def answer(self, exchange: Exchange, candidates: Sequence[ServedEntity]) -> None:
        """Answer a query.

        Args:
            exchange: The query and its caller.
            candidates: Served entities that may answer, at least one, in order.

        Raises:
            AdapterError: No attempt succeeded; the last one's error.
            DeadlineExceeded: No answer came in time.
        """
        entity = exchange.record.entity = candidates[0]
        if exchange.query.stream:
            await self._relay.stream(exchange, entity)
        else:
            await self._relay.answer(exchange, entity)
