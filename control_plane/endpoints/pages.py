"""Lists in pages, each within what an answer may hold.

Used by `servicer`. A list that is asked for whole comes whole, as it always did, or is refused with
the way to read it.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from modelplane.control_plane.errors import InvalidParameter

MAX_RESULTS = 1_000
# Of an answer, as a message: less than half of what Envoy takes from here.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

M = TypeVar("M", bound=Message)


class PageRequest(Protocol):
    """What the requests of all lists have in common."""

    max_results: int
    page_token: str


class Page(Generic[M]):
    """One answer that is being filled.

    Attributes:
        items: What it holds.
        next_token: Token of the next page; None: this is the last one.
    """

    def __init__(self, limit: int | None, token_of: Callable[[M], str]) -> None:
        """Begin with an empty page.

        Args:
            limit: Most items; None: the list is wanted whole.
            token_of: Returns the token of what follows an item.
        """
        self.items: list[M] = []
        self.next_token: str | None = None
        self._limit = limit
        self._token_of = token_of
        self._bytes = 0

    def add(self, item: M) -> bool:
        """Take an item; return False when it is for the next page.

        Raises:
            InvalidParameter: The list is wanted whole, and too long for that.
        """
        self._bytes += item.ByteSize()
        too_long = self._bytes > MAX_ANSWER_BYTES and bool(self.items)
        if too_long and self._limit is None:
            raise InvalidParameter(
                f"The list is longer than the {MAX_ANSWER_BYTES // 1024**2} MiB of an answer; read "
                "it in pages with 'max_results' and 'page_token'."
            )
        if too_long or len(self.items) == self._limit:
            self.next_token = self._token_of(self.items[-1])
            return False
        self.items.append(item)
        return True


def limit_of(request: PageRequest) -> int | None:
    """Return the most items that a request asks for; None: all.

    Raises:
        InvalidParameter: It is out of bounds.
    """
    limit = request.max_results
    if not limit:
        return MAX_RESULTS if request.page_token else None
    if not 1 <= limit <= MAX_RESULTS:
        raise InvalidParameter(f"'max_results' must be from 1 to {MAX_RESULTS}.")
    return limit


def bad_token() -> InvalidParameter:
    """Return the refusal of a page token."""
    return InvalidParameter("'page_token' must be the 'next_page_token' of another page.")
