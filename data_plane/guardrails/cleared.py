"""Remembers in which texts nothing was found, so that a history that is sent again costs little.

Only digests are kept, each of a caller's own: nobody learns from the time that an answer takes what
others have sent. A text in which something was found is read anew each time.
"""

from collections import OrderedDict
from hashlib import blake2b

# A shorter text is read as fast as it is looked up.
FEWEST_CHARACTERS = 1_024
_DIGEST_BYTES = 16
_KEY_BYTES = 64
# Some 10 MiB.
_MOST = 65_536


class Cleared:
    """Texts in which nothing was found."""

    def __init__(self, most: int = _MOST) -> None:
        """Start with none.

        Args:
            most: How many are remembered; then the one that was not met for longest is forgotten.
        """
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def knows(self, digest: bytes) -> bool:
        """Tell whether a text is one of them."""
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True

    def add(self, digest: bytes) -> None:
        """Remember a text."""
        self._digests[digest] = None
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)


def digest_of(text: str, context: str, settings: bytes, caller: str) -> bytes:
    """Return what a text is remembered by.

    Args:
        text: The text.
        context: What comes before it.
        settings: What is looked for.
        caller: Who has sent it.
    """
    key = blake2b(settings + b"\0" + caller.encode(), digest_size=_KEY_BYTES).digest()
    # Neither half can be taken for a part of the other.
    head = f"{len(context)} {context}".encode()
    return blake2b(head + text.encode(), digest_size=_DIGEST_BYTES, key=key).digest()
