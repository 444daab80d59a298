"""Reads a text, whole or as it comes, and lets go of it what holds nothing looked for; pure.

However a text is cut, the same is found in it and the same comes out. A place is decided when no
more text could change what begins there; up to the first one that is not, the text is let go.
"""

from collections.abc import Iterator, Sequence

from modelplane.data_plane.guardrails.detector import CONTEXT, Detector, Span
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.normal import Normal, normalise, visible

# Of a long text so much is read at a time, which takes about a millisecond.
PIECE_CHARACTERS = 16 * 1024
# Nothing that is looked for is as long, but for characters that cannot be seen.
_MOST_HELD = 4 * 1024


class Scanner:
    """Reads one text.

    Attributes:
        held: What is held back of it.
    """

    __slots__ = ("_before", "_detectors", "_findings", "held")

    def __init__(
        self, detectors: Sequence[Detector], findings: Findings, context: str = ""
    ) -> None:
        """Start before a text.

        Args:
            detectors: Say what is looked for; none: the text passes as it is.
            findings: Told what is found.
            context: What comes before the text, such as the name of the field that holds it.
        """
        self._detectors = detectors
        self._findings = findings
        self._before = normalise(f"{context} ")[-CONTEXT:] if context else ""
        self.held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        """Return what of the text may leave by now, with marks in place of what was found.

        Args:
            text: The next piece.
            final: Whether it is the last one.
        """
        if not self._detectors:
            return text
        given = self.held + text
        if not given:
            return ""
        normal = Normal(given)
        before = len(self._before)
        read = self._before + normal.text
        limit = len(read)
        if not final:
            limit = min(detector.open_at(read, before) for detector in self._detectors)
            limit = before + normal.floor(limit - before)
        found, limit = _decided(self.find(read, before, normal), limit)
        for span in _logged(found):
            self._findings.note(span.rule, span.entity)
        out: list[str] = []
        done = 0
        for span in _merge([span for span in found if not span.rule.logs]):
            start, end = normal.origin(span.start - before), normal.end(span.end - before)
            out += (given[done:start], self._findings.mark(span, given[start:end]))
            done = end
        rest = max(done, normal.origin(limit - before))
        out.append(given[done:rest])
        self.held = given[rest:]
        if len(self.held) > _MOST_HELD:
            self.held = visible(self.held)
        self._before = read[max(0, limit - CONTEXT) : limit]
        return "".join(out)

    def bridge(
        self, following: str, findings: Findings, *, final: bool = False
    ) -> tuple[str, str] | None:
        """Look for what begins in this text and ends in another that is read after it.

        What is held of this text is then what comes before that.

        Args:
            following: All that is known of the other one by now.
            findings: Told what is found.
            final: Whether that is all of it.

        Returns:
            The mark that ends this text, perhaps none, and what is left of the other one; None:
            more of the other one has to be known.
        """
        given = self.held + following
        normal = Normal(given)
        before = len(self._before)
        read = self._before + normal.text
        seam = before + len(normalise(self.held))
        limit = len(read)
        if not final and len(following) <= _MOST_HELD:
            limit = min(detector.open_at(read, before) for detector in self._detectors)
        found, limit = _decided(self.find(read, before, normal), limit)
        if limit < seam:
            return None
        for span in _logged(found):
            if span.start < seam < span.end:
                findings.note(span.rule, span.entity)
        for span in _merge([span for span in found if not span.rule.logs]):
            if span.start < seam < span.end:
                start, end = normal.origin(span.start - before), normal.end(span.end - before)
                self.held = given[:start]
                return findings.mark(span, given[start:end]), given[end:]
        return "", following

    def find(self, read: str, before: int, normal: Normal) -> Sequence[Span]:
        """Return what is found, of whole characters, in order."""
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
        return whole


def _decided(found: Sequence[Span], limit: int) -> tuple[Sequence[Span], int]:
    """Return what lies before a limit, and the limit, which goes through nothing that was found."""
    reach = first = 0
    for index, span in enumerate(found):
        if span.start >= reach:
            # What begins here lies over nothing before.
            first, begin = index, span.start
        reach = max(reach, span.end)
        if reach > limit:
            return found[:first], min(limit, begin)
    return found, limit


def _logged(found: Sequence[Span]) -> Iterator[Span]:
    """Yield what policies that only log have found, each by itself."""
    for name in {span.rule.name: None for span in found if span.rule.logs}:
        yield from _merge([span for span in found if span.rule.logs and span.rule.name == name])


def _merge(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield one for all that lie over one another: the strictest of the lowest rank counts."""
    last: Span | None = None
    for span in spans:
        if last is None or span.start >= last.end:
            if last is not None:
                yield last
            last = span
            continue
        rule = min(last.rule, span.rule, key=lambda rule: (not rule.blocks, rule.rank))
        last = last._replace(end=max(last.end, span.end), rule=rule)
    if last is not None:
        yield last


def scan(
    detectors: Sequence[Detector], findings: Findings, text: str, context: str = ""
) -> Iterator[str]:
    """Yield what is left of a whole text, piece by piece; arguments as of `Scanner`."""
    scanner = Scanner(detectors, findings, context)
    for start in range(0, len(text), PIECE_CHARACTERS):
        end = start + PIECE_CHARACTERS
        yield scanner.feed(text[start:end], final=end >= len(text))


def find_all(detectors: Sequence[Detector], text: str) -> Sequence[Span]:
    """Return what is found in a whole text, with places in the text as it is given."""
    normal = Normal(text)
    scanner = Scanner(detectors, Findings())
    found = scanner.find(normal.text, 0, normal)
    told = [*_merge([span for span in found if not span.rule.logs]), *_logged(found)]
    return [
        span._replace(start=normal.origin(span.start), end=normal.end(span.end)) for span in told
    ]
