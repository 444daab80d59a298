"""Which access tokens there are, from memory: a flood of wrong ones hardly asks the database.

Before: `authentication`. After: `snapshots.cache`, `snapshots.feed`.
"""

from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.feed import Feed


class KnownTokens:
    """Knows the digests of all access tokens."""

    def __init__(self, cache: SnapshotCache, feed: Feed) -> None:
        self._cache = cache
        self._feed = feed

    async def has(self, digest: bytes) -> bool:
        """Tell whether there is a token with this digest, one that was just made included.

        Raises:
            StoreUnavailable: It is not in memory, and the database does not answer.
        """
        if self._cache.knows_token(digest):
            return True
        # It may be so new that it has not come here yet: one look for all who ask at the time.
        await self._feed.catch_up()
        return self._cache.knows_token(digest)
