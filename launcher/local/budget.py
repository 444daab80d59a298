"""What replicas may use together: a start that does not fit is refused, nothing is promised twice.

Used by `group.py` before each start.
"""

from collections.abc import Callable

from modelplane.adapters.shared.byte_counts import in_words


class DoesNotFit(Exception):
    """There is too little memory; the text says how much, for the group's owner.

    Attributes:
        is_soon_there: Whether replicas that end now have as much.
    """

    def __init__(self, message: str, *, is_soon_there: bool) -> None:
        super().__init__(message)
        self.is_soon_there = is_soon_there


class MemoryBudget:
    """Memory that replicas may use together.

    Args:
        total: Bytes.

    Attributes:
        reserved: Bytes that are promised to replicas that run.
        leaving: Those of them that replicas have which are told to end.
        on_free: Called when some are free again.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.reserved = 0
        self.leaving = 0
        self.on_free: Callable[[], None] = lambda: None

    def reserve(self, size: int) -> None:
        """Promise memory to a replica.

        Raises:
            DoesNotFit: As much is not there.
        """
        free = self.total - self.reserved
        if size > free:
            raise DoesNotFit(
                f"a replica may use {in_words(size)} of memory, and of {in_words(self.total)} "
                f"only {in_words(max(free, 0))} are not taken",
                is_soon_there=size <= free + self.leaving,
            )
        self.reserved += size

    def expect(self, size: int) -> None:
        """Note that a replica is told to end."""
        self.leaving += size

    def release(self, size: int, *, expected: bool) -> None:
        """Take a promise back: the replica has ended.

        Args:
            size: Bytes that it might use.
            expected: Whether it was told to end.
        """
        self.reserved -= size
        if expected:
            self.leaving -= size
        self.on_free()
