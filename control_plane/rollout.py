"""What those who change something know of the workers: how to wait for them.

Used by the use cases of `endpoints`, `identity` and `secrets`. Implemented by
`snapshots.rollout_driver`; `interceptor` tells callers what `answered_early` says.
"""

from contextvars import ContextVar
from typing import Protocol

# Whether the call under way is answered though some worker has not followed: what it took back,
# such as a token, may still be good there.
answered_early: ContextVar[bool] = ContextVar("answered_early", default=False)


class Rollout(Protocol):
    """Waits for the workers."""

    async def wait_settled(self, endpoint_id: str) -> None:
        """Return when no rollout of the endpoint is in progress, at the latest after 2 s."""

    async def wait_applied(self, revision: int) -> None:
        """Return when every connected worker has acked `revision`, at the latest after 2 s.

        By then `answered_early` is set where not every one has.
        """
