"""What carriers of calls have in common: `rest.py` and `grpc/calls.py`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, Metadata
from modelplane.adapters.shared.rpc.status import trailing_metadata
from modelplane.data_plane.errors import Refusal

JSON = "application/json"


def as_it_is(document: bytes) -> bytes:
    """Return a JSON text for callers who get JSON; see `call.Reply.pass_on`."""
    return document


class Outcome(Protocol):
    """How a request is answered to its end."""

    def refuse(self, error: Exception) -> None:
        """Say why there is no answer, or no more of it."""

    def end(self) -> None:
        """End the answer, unless it has ended."""


async def carry(answer: Callable[[], Awaitable[None]], outcome: Outcome) -> None:
    """Let a request be answered; it is, whatever happens, unless its caller is gone.

    Args:
        answer: Begins to answer it, once this has begun.
        outcome: Told how that ended.
    """
    try:
        await answer()
    except asyncio.CancelledError:
        # Of a caller who left; at a stop the connection is cut.
        return
    except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
        outcome.refuse(error)
    else:
        outcome.end()


def refusal_trailers(refusal: Refusal, request_id: str) -> Metadata:
    """Return the trailing metadata of a refused call."""
    own = trailing_metadata(refusal.status, refusal.retry_after)
    return (*own, (REQUEST_ID, request_id), *refusal.metadata)
