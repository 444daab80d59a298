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

# Digits and what may be between them, as far as it is long enough to be any of the kinds.
_RUN = re.compile(r"[0-9][0-9 ().-]{5,}")
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
        end = begin
        for run in _RUN.finditer(text, begin):
            start = _extend(text, run.start(), end)
            end = run.end()
            if len(only_digits(run[0])) >= _FEWEST_DIGITS:
                found += self._read(text, start, end)
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


def _extend(text: str, start: int, least: int) -> int:
    """Return where a run begins whose digits begin at `start`: with a sign, or with a bracket."""
    while start > least and text[start - 1] in _STARTS:
        start -= 1
    return start
