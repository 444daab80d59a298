"""The guardrails of an endpoint, applied to one call: its request, and its whole answer; pure.

`stream.py` does the same to a stream. Long texts are read in pieces, between which others get their
turn: each step yields how many characters it has read.
"""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Usage
from modelplane.data_plane.errors import GuardrailTriggered, InvalidParameter
from modelplane.data_plane.guardrails.cleared import FEWEST_CHARACTERS, Cleared, digest_of
from modelplane.data_plane.guardrails.places import (
    Place,
    count_opaque,
    has_tokens,
    places_of_answer,
    places_of_any,
    places_of_arguments,
    places_of_request,
)
from modelplane.data_plane.guardrails.policy import Checks, Guardrails
from modelplane.data_plane.guardrails.scanner import Findings, scan
from modelplane.data_plane.guardrails.stream import StreamGuard
from modelplane.data_plane.guardrails.verdict import (
    Phase,
    Verdict,
    build_item,
    build_message,
    explain,
    judge,
    policy_of,
)

_TOLD = ("messages", "prompt", "input")


class Guard:
    """Applies guardrails to one call.

    Attributes:
        rules: What is looked for.
        found: What was found, on each side.
        opaque: Parts of the request that could not be read.
        clock: Monotonic time, seconds.
    """

    __slots__ = ("_caller", "_cleared", "clock", "found", "opaque", "rules")

    def __init__(
        self,
        rules: Guardrails,
        caller: str = "",
        cleared: Cleared | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Start before the request.

        Args:
            rules: What is looked for.
            caller: Identifier of who has sent it.
            cleared: Knows texts of requests that need not be read again; None: none.
            clock: Monotonic time, seconds.
        """
        self._caller = caller
        self._cleared = cleared
        self.rules = rules
        self.found = {phase: Findings() for phase in Phase}
        self.opaque = 0
        self.clock = clock

    @property
    def has_changed(self) -> bool:
        """Whether the request is another one than its caller has sent."""
        return bool(self.found[Phase.INPUT].entities)

    def verdict(self) -> Verdict:
        """Return what was done with the call."""
        return judge(self.found, self.opaque)

    def read_request(self, body: JsonObject, *, free: bool = False) -> Iterator[int]:
        """Look through a request, and put marks into it where something is masked.

        Args:
            body: The request.
            free: Whether it has a form of its own, so that all of it is text.

        Yields:
            Characters that were read.

        Raises:
            GuardrailTriggered: It must not pass.
            InvalidParameter: It cannot be read.
        """
        checks = self.rules.input
        if checks is None:
            return
        if has_tokens(body) and not free:
            raise InvalidParameter(
                "This endpoint has guardrails, which cannot read tokens: send texts."
            )
        findings = self.found[Phase.INPUT]
        self.opaque = count_opaque(body)
        places = places_of_any(body) if free else places_of_request(body)
        origin = self.rules.settings, self._caller
        reader = _Reader(checks, findings, self._cleared, origin)
        yield from self._read(reader, findings, places)
        if findings.blocked:
            told = next((body[name] for name in _TOLD if name in body), None)
            anonymized = told if told is None or isinstance(told, list) else [told]
            item = build_item(checks, findings, anonymized)
            message = build_message(Phase.INPUT, item, None)
            reason = explain(Phase.INPUT, findings)
            raise GuardrailTriggered(message, reason, Phase.INPUT, policy_of(findings))

    def read_answer(
        self, answer: JsonObject, usage: Usage | None, *, free: bool = False
    ) -> Iterator[int]:
        """Look through a whole answer as through a request, and tell in it what was found.

        Args:
            answer: The answer.
            usage: What it has used.
            free: Whether it has a form of its own.

        Yields:
            Characters that were read.

        Raises:
            GuardrailTriggered: It must not pass.
        """
        checks, findings = self.rules.output, self.found[Phase.OUTPUT]
        if checks is not None:
            _drop_logprobs(answer)
            places = places_of_any(answer) if free else places_of_answer(answer)
            yield from self._read(_Reader(checks, findings), findings, places)
            if findings.blocked:
                raise self.refuse_answer(usage)
        if not free:
            answer.update(self.items())

    def refuse_answer(self, usage: Usage | None) -> GuardrailTriggered:
        """Return the error that what was found in an answer is."""
        checks, findings = self.rules.output, self.found[Phase.OUTPUT]
        item = build_item(checks, findings) if checks else {}
        message = build_message(Phase.OUTPUT, item, usage or Usage())
        reason = explain(Phase.OUTPUT, findings)
        return GuardrailTriggered(message, reason, Phase.OUTPUT, policy_of(findings))

    def items(self) -> JsonObject:
        """Return what was found, as an answer tells it."""
        sides = ((Phase.INPUT, self.rules.input), (Phase.OUTPUT, self.rules.output))
        return {
            f"{phase}_guardrail": [build_item(checks, self.found[phase])]
            for phase, checks in sides
            if checks is not None
        }

    def open_stream(self, provider: str) -> StreamGuard | None:
        """Return what looks through a stream; None: nothing is looked for there.

        Args:
            provider: Name that errors carry.
        """
        checks = self.rules.output
        return None if checks is None else StreamGuard(_Output(self, checks), provider)

    def _read(
        self, reader: "_Reader", findings: Findings, places: Iterable[Place]
    ) -> Iterator[int]:
        started = self.clock()
        for place in places:
            for size in reader.read(place):
                findings.seconds += self.clock() - started
                yield size
                started = self.clock()
        findings.seconds += self.clock() - started


class _Output:
    """The guardrails of a stream; see `stream.Side`."""

    def __init__(self, guard: Guard, checks: Checks) -> None:
        self.detectors = checks.detectors
        self.findings = guard.found[Phase.OUTPUT]
        self.clock = guard.clock
        self.refuse = guard.refuse_answer
        self.items = guard.items
        self._reader = _Reader(checks, self.findings)

    def read(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, without what is masked in it."""
        for place in places_of_answer(value):
            for _ in self._reader.read(place):
                pass
        return value


class _Reader:
    """Reads texts, one after the other."""

    def __init__(
        self,
        checks: Checks,
        findings: Findings,
        cleared: Cleared | None = None,
        origin: tuple[bytes, str] = (b"", ""),
    ) -> None:
        """Read texts.

        Args:
            checks: What is looked for.
            findings: Told what is found.
            cleared: Knows texts that need not be read; None: none.
            origin: Settings and caller that those are of.
        """
        self._detectors = checks.detectors
        self._findings = findings
        self._cleared = cleared
        self._origin = origin

    def read(self, place: Place) -> Iterator[int]:
        """Read a text, and put marks into it; yields how many characters were read."""
        cleared = self._cleared if len(place.text) >= FEWEST_CHARACTERS else None
        if cleared is None:
            yield from self._read(place)
            return
        digest = digest_of(place.text, place.context, *self._origin)
        if cleared.knows(digest):
            return
        before = self._findings.entities.total()
        yield from self._read(place)
        if self._findings.entities.total() == before:
            cleared.add(digest)

    def _read(self, place: Place) -> Iterator[int]:
        if place.is_json and (value := _parse(place.text)) is not None:
            before = self._findings.entities.total()
            for inner in places_of_arguments(value):
                yield from self._read(inner)
            if self._findings.entities.total() > before:
                place.put(orjson.dumps(value).decode())
            return
        pieces: list[str] = []
        for piece in scan(self._detectors, self._findings, place.text, place.context):
            pieces.append(piece)
            yield len(piece)
        text = "".join(pieces)
        if text != place.text:
            place.put(text)


def _parse(text: str) -> JsonObject | list[object] | None:
    """Return the object that a text is as JSON; None: it is none, and is read as it is."""
    try:
        value = orjson.loads(text)
        orjson.dumps(value)
    except (orjson.JSONDecodeError, NestedTooDeeply):
        return None
    return value if isinstance(value, dict | list) else None


def _drop_logprobs(answer: JsonObject) -> None:
    """Take out what repeats the text, token by token."""
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("logprobs"):
            choice["logprobs"] = None
