"""Finds words that must not occur, wherever in a text and whatever their case; pure.

All of them are one automaton, which reads a text once however many they are, and whatever is in
it (Aho and Corasick, 1975).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.normal import normalise
from modelplane.data_plane.guardrails.rule import Rule

KEYWORD = "INVALID_KEYWORD"


class Keywords:
    """Finds any of some words; see `Detector`."""

    def __init__(self, words: Iterable[str], rule: Rule) -> None:
        """Look for words.

        Args:
            words: The words, at least one of which is not blank.
            rule: What is done about them.
        """
        self._rule = rule
        self._words = sorted({normalise(word) for word in words} - {""})
        # The one that takes least memory: every endpoint has its own.
        self._automaton = AhoCorasick(
            self._words,
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.ContiguousNFA,
        )
        self._first = {word[0] for word in self._words}
        self._longest = max(map(len, self._words))

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return the words that begin at `begin` or later; see `Detector`."""
        return [
            Span(begin + start, begin + end, KEYWORD, self._rule)
            for _, start, end in self._automaton.find_matches_as_indexes(text[begin:])
        ]

    def open_at(self, text: str, begin: int) -> int:
        """Return where a word may have begun; see `Detector`."""
        for start in range(max(begin, len(text) - self._longest), len(text)):
            if text[start] in self._first and self._begins(text[start:]):
                return start
        return len(text)

    def _begins(self, text: str) -> bool:
        """Tell whether some word begins with a text, or is it."""
        place = bisect_left(self._words, text)
        return place < len(self._words) and self._words[place].startswith(text)
