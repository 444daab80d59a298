"""The texts of one choice of a stream, each read by a scanner of its own; pure.

Used by `stream.py`. Where a thought ends and a text begins, what may lie across is looked for in
both together; what was looked through is heard by judges, and has its pseudonyms restored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelplane.adapters.providers.types import JsonObject, Usage
from modelplane.data_plane.errors import GuardrailTriggered
from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.pseudonyms import Pseudonyms, Restorer
from modelplane.data_plane.guardrails.scanner import Scanner


class Side(Protocol):
    """The guardrails of answers, of one call; see `guard.py`.

    Attributes:
        detectors: Say what is looked for.
        enforces: Whether something may be done about what is found.
        listens: Whether judges read the answer.
        withholds: Whether nothing may leave before they have.
        pseudonyms: What is to be restored; None: nothing is.
        findings: Told what is found.
        clock: Monotonic time, seconds.
    """

    detectors: tuple[Detector, ...]
    enforces: bool
    listens: bool
    withholds: bool
    pseudonyms: Pseudonyms | None
    findings: Findings
    clock: Callable[[], float]

    def read(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, without what is masked in it."""

    def restore(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, with what pseudonyms in it stand for."""

    def refuse(self, usage: Usage | None) -> GuardrailTriggered:
        """Return the error that what was found is."""

    def items(self) -> JsonObject:
        """Return what was found, as an answer tells it."""


@dataclass(slots=True)
class _Seam:
    """Where a thought has ended and a text goes on, while it is not known what lies across."""

    name: str
    scanner: Scanner
    following: str = ""


class Channels:
    """The texts of one choice, by name.

    Attributes:
        said: What it has said by now, with pseudonyms.
    """

    def __init__(self, side: Side) -> None:
        """Start before its first text."""
        self.said: list[str] = []
        self._side = side
        self._scanners: dict[str, Scanner] = {}
        self._restorers: dict[str, Restorer] = {}
        self._seam: _Seam | None = None

    def scan(self, name: str, piece: str) -> str:
        """Return what of a text may leave now that another piece of it has come."""
        scanner = self._scanners.get(name)
        if scanner is None:
            scanner = Scanner(self._side.detectors, self._side.findings)
            self._scanners[name] = scanner
        return self._tell(name, scanner.feed(piece))

    def flush(self, name: str) -> str:
        """Return what is held of a text that goes on no further."""
        scanner = self._scanners.pop(name, None)
        return self._tell(name, scanner.feed("", final=True), final=True) if scanner else ""

    def follow(
        self, thoughts: Sequence[str], text: str, *, final: bool = False
    ) -> tuple[Mapping[str, str], str]:
        """Let a text follow thoughts.

        Args:
            thoughts: Names of those that have ended.
            text: The next piece of the text.
            final: Whether it is the last one.

        Returns:
            What is left of the thoughts, by their names, and the piece that is now to be read.
        """
        ended: dict[str, str] = {}
        for name in thoughts:
            scanner = self._scanners.pop(name, None)
            if scanner is None:
                continue
            ended |= self._close()
            if scanner.held:
                self._seam = _Seam(name, scanner)
            else:
                ended[name] = self._tell(name, "", final=True)
        seam = self._seam
        if seam is None:
            return ended, text
        seam.following += text
        bridge = seam.scanner.bridge(seam.following, self._side.findings, final=final)
        if bridge is None:
            return ended, ""
        mark, rest = bridge
        return ended | self._close(mark), rest

    def _close(self, mark: str = "") -> dict[str, str]:
        """Return what is left of the thought before a seam, which is then none."""
        seam, self._seam = self._seam, None
        if seam is None:
            return {}
        told = seam.scanner.feed("", final=True) + mark
        return {seam.name: self._tell(seam.name, told, final=True)}

    def _tell(self, name: str, text: str, *, final: bool = False) -> str:
        if self._side.listens and text:
            self.said.append(text)
        if self._side.pseudonyms is None:
            return text
        restorer = self._restorers.get(name)
        if restorer is None:
            restorer = self._restorers[name] = Restorer(self._side.pseudonyms)
        told = restorer.feed(text, final=final)
        if final:
            del self._restorers[name]
        return told
