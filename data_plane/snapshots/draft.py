"""Maps of the next snapshot, of which only those are copied that change.

Used by `snapshot` and `callers`: with many users, to copy a map costs more than most changes do.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Draft(Generic[K, V]):
    """A map to be changed, while others go on reading the one that it began with."""

    def __init__(self, base: Mapping[K, V]) -> None:
        self.read = base
        self._own: dict[K, V] | None = None

    @property
    def write(self) -> dict[K, V]:
        """The map as this draft's own, copied the first time."""
        if self._own is None:
            self.read = self._own = dict(self.read)
        return self._own

    def pop(self, key: K) -> V | None:
        """Take `key` out, if it is there; return what it was."""
        return self.write.pop(key) if key in self.read else None
