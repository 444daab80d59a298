"""Finds addresses of electronic mail; pure.

Forms and lengths are those of RFC 5321, without quotes and comments, which nobody has; a top-level
domain has letters only, and at least two.
"""

import re
from collections.abc import Sequence

from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.rule import Rule

EMAIL_ADDRESS = "EMAIL_ADDRESS"
# Letters of the scripts that addresses are written in where others do not set words apart.
_LETTERS = r"a-z\u00df-\u024f\u0370-\u03ff\u0400-\u04ff"
_WORD = rf"{_LETTERS}0-9_"
_LOCAL = rf"(?<![{_WORD}])[{_WORD}][{_WORD}.+%'&-]{{0,63}}"
_LABEL = rf"[{_WORD}][{_WORD}-]{{0,62}}"
_TOP = rf"(?:xn--[a-z0-9-]{{2,59}}|[{_LETTERS}]{{2,24}})"
_ADDRESS = re.compile(rf"{_LOCAL}@(?:{_LABEL}\.){{1,6}}{_TOP}(?![{_WORD}])")
_OPEN = re.compile(rf"{_LOCAL}(?:@[{_WORD}.-]{{0,453}})?\Z")
# Local part, sign, six labels with their dots, and the last one.
_LONGEST = 64 + 1 + 6 * 64 + 64


class Emails:
    """Finds addresses; see `Detector`."""

    def __init__(self, rule: Rule) -> None:
        """Look for addresses; `rule`: what is done about them."""
        self._rule = rule

    def find(self, text: str, begin: int) -> Sequence[Span]:
        """Return the addresses that begin at `begin` or later; see `Detector`."""
        # Most texts have no such sign, which is known sooner.
        if text.find("@", begin) < 0:
            return ()
        return [
            Span(match.start(), match.end(), EMAIL_ADDRESS, self._rule)
            for match in _ADDRESS.finditer(text, begin)
        ]

    def open_at(self, text: str, begin: int) -> int:
        """Return where an address may have begun; see `Detector`."""
        begin = max(begin, len(text) - _LONGEST)
        # No address goes through a blank: only the last word need be read.
        match = _OPEN.search(text, max(begin, text.rfind(" ", begin) + 1))
        return match.start() if match else len(text)
