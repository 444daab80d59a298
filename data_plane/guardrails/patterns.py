"""Finds what expressions match that operators have written; pure.

Which are taken, and why, says `adapters/shared/patterns.py`. They are matched against texts as
detectors read them (`normal.py`), so that case never counts.
"""

from collections.abc import Sequence

from modelplane.adapters.shared.patterns import LONGEST_MATCH, compile_patterns
from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.normal import normalise
from modelplane.data_plane.guardrails.rule import Rule

PATTERN = "PATTERN"


class Patterns:
    """Finds what expressions match; see `Detector`."""

    def __init__(self, expressions: Sequence[str], entity: str, rule: Rule) -> None:
        """Look for matches.

        Args:
            expressions: The expressions, at least one.
            entity: What they find.
            rule: What is done about it.

        Raises:
            PatternRefused: One cannot be taken.
        """
        self._compiled = compile_patterns(expressions, normalise)
        self._entity = entity
        self._rule = rule

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return what matches from `begin` on; see `Detector`."""
        matches = self._compiled.whole.finditer(text, begin)
        return [Span(match.start(), match.end(), self._entity, self._rule) for match in matches]

    def open_at(self, text: str, begin: int) -> int:
        """Return where a match may have begun; see `Detector`."""
        begin = max(begin, len(text) - LONGEST_MATCH)
        # A boundary is told by one character more.
        before = max(0, begin - 1)
        match = self._compiled.beginning.search(text[before:], begin - before)
        return before + match.start() if match else len(text)
