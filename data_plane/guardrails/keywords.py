"""Finds words that must not occur, wherever in a text and whatever their case; pure.

All of them are one automaton of RE2's, which reads a text once however many they are.
"""

from collections.abc import Iterable, Sequence

import re2

from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.normal import normalise

KEYWORD = "INVALID_KEYWORD"
# Of what an endpoint may have of them, the automaton takes a few MiB at most.
_MEMORY_BYTES = 32 << 20


class Keywords:
    """Finds any of some words; see `Detector`."""

    def __init__(self, words: Iterable[str]) -> None:
        """Look for words, at least one of which is not blank."""
        # The longest first: of two that begin alike, RE2 takes the one that comes first.
        known = sorted({normalise(word) for word in words if word} - {""}, key=len, reverse=True)
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        self._pattern = re2.compile("|".join(map(re2.escape, known)), options)
        self._beginnings = {word[:size] for word in known for size in range(1, len(word) + 1)}
        self._first = {word[0] for word in known}
        self._longest = max(map(len, known))

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return the words that begin at `begin` or later; see `Detector`."""
        if self._pattern.search(text, begin) is None:
            return ()
        return [
            Span(match.start(), match.end(), KEYWORD, blocks=True)
            for match in self._pattern.finditer(text, begin)
        ]

    def open_at(self, text: str, begin: int) -> int:
        """Return where a word may have begun; see `Detector`."""
        for start in range(max(begin, len(text) - self._longest), len(text)):
            if text[start] in self._first and text[start:] in self._beginnings:
                return start
        return len(text)
