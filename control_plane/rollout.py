"""What those who change something know of the workers: how to wait for them.

Used by the use cases of `endpoints`, `identity` and `secrets`. Implemented by
`snapshots.rollout_driver`.
"""

from typing import Protocol


class Rollout(Protocol):
    """Waits for the workers."""

    async def wait_settled(self, endpoint_id: str) -> None:
        """Return when no rollout of the endpoint is in progress, at the latest after 2 s."""

    async def wait_applied(self, revision: int) -> None:
        """Return when every connected worker has acked `revision`, at the latest after 2 s."""
