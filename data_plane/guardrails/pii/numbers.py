"""Finds numbers that stand for a person: of cards, accounts, telephones and social security; pure.

A number has groups of digits with blanks, hyphens, dots or brackets between them, and no letter or
digit at its ends. What it is, `number_kinds.py` says.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.pii.number_kinds import (
    KINDS,
    LONGEST,
    only_digits,
    words_before,
)
from modelplane.data_plane.guardrails.rule import Rule

# Digits and what may be between them become one character, all else another: to look for so many
# of the first in bytes takes a fraction of what a pattern takes.
_PART, _OTHER = b"0", b"x"
_FEWEST_PARTS = 6 * _PART
_DIGITS, _BETWEEN = "0123456789", " ().-"
_PARTS = bytes(_PART[0] if chr(code) in _DIGITS + _BETWEEN else _OTHER[0] for code in range(256))
_OPEN = re.compile(rf"(?<![a-z0-9_])[+(0-9][+0-9 ().-]{{0,{LONGEST}}}x?\Z")
_STARTS = "+("
_FEWEST_DIGITS = 7


class Numbers:
    """Finds numbers; see `Detector`."""

    def __init__(self, rule: Rule, entities: Collection[str]) -> None:
        """Look for numbers.

        Args:
            rule: What is done about them.
            entities: The kinds.
        """
        self._rule = rule
        self._kinds = tuple(kind for kind in KINDS if kind.entity in entities)

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return the numbers that begin at `begin` or later; see `Detector`."""
        found: list[Span] = []
        least = begin
        for start, end in runs(text, begin):
            if len(only_digits(text[start:end])) >= _FEWEST_DIGITS:
                found += self._read(text, _extend(text, start, least), end)
            least = end
        return found

    def open_at(self, text: str, begin: int) -> int:
        """Return where a number may have begun; see `Detector`."""
        match = _OPEN.search(text, max(begin, len(text) - LONGEST - 2))
        return match.start() if match else len(text)

    def _read(self, text: str, start: int, end: int) -> Iterator[Span]:
        """Yield what is found of each kind between two places."""
        named = words_before(text, start, end)
        for kind in self._kinds:
            if not kind.may_be_named(named):
                continue
            # Two more, so that a pattern sees what comes after.
            at, last = start, min(end + 2, len(text))
            while match := kind.pattern.search(text, at, last):
                if kind.accepts(match[0], text, match.start()):
                    yield Span(match.start(), match.end(), kind.entity, self._rule)
                    at = match.end()
                else:
                    at = match.start() + 1


def runs(text: str, begin: int) -> Iterator[tuple[int, int]]:
    """Yield where digits and what may be between them begin and end, a digit first.

    No shorter one than six characters, which is a number of no kind.

    Args:
        text: The text as detectors read it.
        begin: Where to begin.
    """
    # A byte for each character, so that places are the same.
    parts = text[begin:].encode("latin-1", "replace").translate(_PARTS)
    at = 0
    while (start := parts.find(_FEWEST_PARTS, at)) >= 0:
        end = parts.find(_OTHER, start)
        at = end if end >= 0 else len(parts)
        size = len(text[begin + start : begin + at].lstrip(_BETWEEN))
        if size >= len(_FEWEST_PARTS):
            yield begin + at - size, begin + at


def _extend(text: str, start: int, least: int) -> int:
    """Return where a run begins whose digits begin at `start`: with a sign, or with a bracket."""
    while start > least and text[start - 1] in _STARTS:
        start -= 1
    return start
