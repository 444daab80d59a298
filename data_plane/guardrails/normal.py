"""Texts as detectors read them: one spelling for what looks the same; pure.

Each character becomes what it stands for by itself (NFKC, case folded, digits in ASCII), invisible
ones nothing, and letters of other scripts that look like Latin ones those. That no character
depends on its neighbours is what lets a text be read in pieces.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache

# Letters of Cyrillic and Greek that no reader can tell from Latin ones, and dashes.
_LOOKALIKES = dict(
    zip(
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u03bf\u03b9"
        "\u2010\u2011\u2012\u2013\u2014\u2212",
        "aeopcyxijsdoi------",
        strict=True,
    )
)
_INVISIBLE = "Cf"
# Its small letter depends on what follows.
_SIGMA = "\u03a3"
# To replace so many characters one by one is faster than all at once.
_FEW = 12


class Normal:
    """A text as detectors read it, and where each part of it comes from.

    Attributes:
        text: The text as it is read.
    """

    __slots__ = ("_origins", "_size", "text")

    def __init__(self, given: str) -> None:
        """Read a text."""
        self._size = len(given)
        self._origins: Sequence[int] = ()
        if given.isascii():
            self.text = given.lower()
            return
        changes = _changes(given)
        self.text = _change(given, changes)
        odd = [character for character, folded in changes.items() if len(folded) != 1]
        if odd:
            self._origins = _trace(given, odd, changes)

    def origin(self, index: int) -> int:
        """Return where in the given text the character at an index comes from."""
        if not self._origins:
            # A text of which nothing is left has no origins either.
            return index if self.text else self._size
        return self._origins[index] if index < len(self._origins) else self._size

    def floor(self, index: int) -> int:
        """Return the first index that comes from the same character as an index."""
        if not self._origins or index >= len(self._origins):
            return index
        return bisect_left(self._origins, self._origins[index])

    def ceiling(self, index: int) -> int:
        """Return the first index from which on nothing comes from the character before an index."""
        if not self._origins or not index:
            return index
        return bisect_left(self._origins, self._origins[index - 1] + 1)

    def end(self, index: int) -> int:
        """Return where in the given text what lies before an index ends."""
        return self.origin(index - 1) + 1 if index else 0


def visible(text: str) -> str:
    """Return a text without the characters that cannot be seen."""
    return "".join(character for character in text if _fold(character))


def normalise(text: str) -> str:
    """Return a text as detectors read it."""
    return Normal(text).text


def _changes(given: str) -> dict[str, str]:
    """Return what becomes of those characters of which it is not just the small letter."""
    changes: dict[str, str] = {}
    for character in set(given):
        folded = _fold(character)
        if folded != character.lower() or len(folded) != 1 or character == _SIGMA:
            changes[character] = folded
    return changes


def _change(given: str, changes: Mapping[str, str]) -> str:
    if len(changes) > _FEW:
        return given.translate({ord(one): folded for one, folded in changes.items()}).lower()
    for character, folded in changes.items():
        given = given.replace(character, folded)
    return given.lower()


def _trace(given: str, odd: Sequence[str], changes: Mapping[str, str]) -> Sequence[int]:
    """Return where each character comes from, in a text with some that do not become one."""
    origins: list[int] = []
    done = 0
    for match in re.finditer(f"[{re.escape(''.join(odd))}]", given):
        at = match.start()
        origins += range(done, at)
        origins += [at] * len(changes[match[0]])
        done = at + 1
    origins += range(done, len(given))
    return origins


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    """Return what a character stands for, whatever is beside it; empty: it cannot be seen."""
    if unicodedata.category(character) == _INVISIBLE:
        return ""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    folded = unicodedata.normalize("NFKC", character).casefold()
    return "".join(_LOOKALIKES.get(part, part) for part in folded)
