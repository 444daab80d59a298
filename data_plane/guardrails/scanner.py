"""Reads a text, whole or as it comes, and lets go of it what holds nothing looked for; pure.

However a text is cut, the same is found in it and the same comes out. A place is decided when no
more text could change what begins there; up to the first one that is not, the text is let go.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modelplane.data_plane.guardrails.detector import CONTEXT, Detector, Span
from modelplane.data_plane.guardrails.normal import Normal, normalise, visible

# Of a long text so much is read at a time, which takes about a millisecond.
PIECE_CHARACTERS = 16 * 1024
# Nothing that is looked for is as long, but for characters that cannot be seen.
_MOST_HELD = 4 * 1024


@dataclass(slots=True)
class Findings:
    """What was found in the texts of one call.

    Attributes:
        entities: How many of each kind.
        blocked: Whether something was found that must not pass.
        seconds: Time that it has taken to look.
    """

    entities: Counter[str] = field(default_factory=Counter)
    blocked: bool = False
    seconds: float = field(default=0.0, compare=False)

    def note(self, span: Span) -> None:
        """Note what was found."""
        self.entities[span.entity] += 1
        self.blocked = self.blocked or span.blocks


class Scanner:
    """Reads one text."""

    __slots__ = ("_before", "_detectors", "_findings", "_held")

    def __init__(
        self, detectors: Sequence[Detector], findings: Findings, context: str = ""
    ) -> None:
        """Start before a text.

        Args:
            detectors: Say what is looked for.
            findings: Told what is found.
            context: What comes before the text, such as the name of the field that holds it.
        """
        self._detectors = detectors
        self._findings = findings
        self._before = normalise(f"{context} ")[-CONTEXT:] if context else ""
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, text: str, *, final: bool = False) -> str:
        """Return what of the text may leave by now, with marks in place of what was found.

        Args:
            text: The next piece.
            final: Whether it is the last one.
        """
        given = self._held + text
        if not given:
            return ""
        normal = Normal(given)
        before = len(self._before)
        read = self._before + normal.text
        limit = len(read)
        if not final:
            limit = min(detector.open_at(read, before) for detector in self._detectors)
            limit = before + normal.floor(limit - before)
        out: list[str] = []
        done = 0
        for span in self._find(read, before, normal):
            if span.end > limit:
                limit = min(limit, span.start)
                break
            self._findings.note(span)
            out += (given[done : normal.origin(span.start - before)], f"<{span.entity}>")
            done = normal.end(span.end - before)
        rest = max(done, normal.origin(limit - before))
        out.append(given[done:rest])
        self._held = given[rest:]
        if len(self._held) > _MOST_HELD:
            self._held = visible(self._held)
        self._before = read[max(0, limit - CONTEXT) : limit]
        return "".join(out)

    def _find(self, read: str, before: int, normal: Normal) -> Sequence[Span]:
        """Return what is found, of whole characters, in order, and none over another."""
        found: list[Span] = []
        for detector in self._detectors:
            found += detector.find(read, before)
        if not found:
            return ()
        whole = [
            span._replace(
                start=before + normal.floor(span.start - before),
                end=before + normal.ceiling(span.end - before),
            )
            for span in found
        ]
        # The longer one first, so that it gives its name to all that lies over it.
        whole.sort(key=lambda span: (span.start, -span.end))
        return list(_merge(whole))


def _merge(spans: Sequence[Span]) -> Iterator[Span]:
    last = spans[0]
    for span in spans[1:]:
        if span.start >= last.end:
            yield last
            last = span
            continue
        end, blocks = max(last.end, span.end), last.blocks or span.blocks
        last = last._replace(end=end, blocks=blocks)
    yield last


def scan(
    detectors: Sequence[Detector], findings: Findings, text: str, context: str = ""
) -> Iterator[str]:
    """Yield what is left of a whole text, piece by piece; arguments as of `Scanner`."""
    scanner = Scanner(detectors, findings, context)
    for start in range(0, len(text), PIECE_CHARACTERS):
        end = start + PIECE_CHARACTERS
        yield scanner.feed(text[start:end], final=end >= len(text))
