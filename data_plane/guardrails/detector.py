"""What a detector is: it finds what it is there for in a text that may be only a part of one; pure.

It decides about a place in a text by what follows there, up to a bound of its own, and by at most
`CONTEXT` characters before. `scanner.py` asks; the texts are read as `normal.py` has them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from modelplane.data_plane.guardrails.rule import Rule

# Characters before a place that may decide about it.
CONTEXT = 96


class Span(NamedTuple):
    """Something that was found.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        entity: What it is, in the words of Presidio where that has one.
        rule: What is done about it.
    """

    start: int
    end: int
    entity: str
    rule: Rule


class Detector(Protocol):
    """Finds one kind of thing."""

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return what begins at `begin` or later: the leftmost first, and none over another."""

    def open_at(self, text: str, begin: int) -> int:
        """Return the first place from which on the text may become what it does not show yet.

        Args:
            text: A text that goes on.
            begin: First place that counts.

        Returns:
            Where the rest of the text begins something that more text could complete, or could make
            longer; the length of the text where nothing does.
        """
