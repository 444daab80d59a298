"""The guardrails of an endpoint, applied to one call: its request, and its whole answer; pure.

`stream.py` does the same to a stream. Long texts are read in pieces, between which others get their
turn: each step yields how many characters it has read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from time import perf_counter

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Usage
from modelplane.data_plane.errors import GuardrailTriggered, InvalidParameter
from modelplane.data_plane.guardrails.cleared import FEWEST_CHARACTERS, Cleared, digest_of
from modelplane.data_plane.guardrails.conversation import turns_of_request
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.judges import Turn
from modelplane.data_plane.guardrails.places import (
    Place,
    count_opaque,
    has_tokens,
    places_of_answer,
    places_of_any,
    places_of_arguments,
    places_of_request,
    runs_of,
    signed_thoughts,
)
from modelplane.data_plane.guardrails.policy import Checks, Rules
from modelplane.data_plane.guardrails.pseudonyms import Pseudonyms
from modelplane.data_plane.guardrails.scanner import Scanner, scan
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

UNREADABLE = "UNREADABLE_CONTENT"
_TOLD = ("messages", "prompt", "input")
# Of a text that follows another so much is read with it.
_BRIDGED_CHARACTERS = 2 * 1024


class Guard:
    """Applies guardrails to one call.

    Attributes:
        rules: What is looked for.
        found: What was found, on each side.
        opaque: Parts of the request that could not be read.
        heard: What the request says, where judges read the answer.
        clock: Monotonic time, seconds.
        cleared: Knows texts of requests that need not be read again; None: none.
        caller: Identifier of who has sent the request.
    """

    __slots__ = ("_pseudonyms", "caller", "cleared", "clock", "found", "heard", "opaque", "rules")

    def __init__(
        self,
        rules: Rules,
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
        self.caller = caller
        self.cleared = cleared
        self.rules = rules
        self._pseudonyms = Pseudonyms(rules.pseudonym_key) if rules.pseudonym_key else None
        self.found = {phase: Findings() for phase in Phase}
        self.found[Phase.INPUT].pseudonyms = self._pseudonyms
        self.opaque = 0
        self.heard: Sequence[Turn] = ()
        self.clock = clock

    @property
    def has_changed(self) -> bool:
        """Whether the request is another one than its caller has sent."""
        return bool(self.found[Phase.INPUT].entities)

    @property
    def reads_answers(self) -> bool:
        """Whether there is something to be done with the answer."""
        return self.rules.output is not None or bool(self._pseudonyms)

    def checks(self, phase: Phase) -> Checks | None:
        """Return what is looked for on one side; None: nothing is."""
        return self.rules.input if phase is Phase.INPUT else self.rules.output

    def verdict(self) -> Verdict:
        """Return what was done with the call."""
        return judge(self.found, self.opaque, exempt=self.rules.exempts)

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
        if checks is not None:
            if has_tokens(body) and not free and checks.enforces:
                raise InvalidParameter(
                    "This endpoint has guardrails, which cannot read tokens: send texts."
                )
            findings = self.found[Phase.INPUT]
            self.opaque = count_opaque(body)
            for rule in checks.unread if self.opaque else ():
                findings.note(rule, UNREADABLE)
            if checks.detectors:
                if not free:
                    _mend(checks, findings, runs_of(body))
                places = places_of_any(body) if free else places_of_request(body)
                reader = _Reader(checks, findings, self.cleared, self.caller)
                yield from self._read(reader, findings, places)
            if findings.blocked:
                raise self.refuse_request(body)
        if self.rules.output is not None and self.rules.output.judges:
            self.heard = turns_of_request(body, free=free)

    def read_answer(
        self, answer: JsonObject, usage: Usage | None, *, free: bool = False
    ) -> Iterator[int]:
        """Look through a whole answer as through a request.

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
        if checks is None or not checks.detectors:
            return
        if checks.enforces:
            _drop_logprobs(answer)
        signed = [] if free else signed_thoughts(answer)
        if not free:
            _mend(checks, findings, runs_of(answer))
        places = places_of_any(answer) if free else places_of_answer(answer)
        yield from self._read(_Reader(checks, findings), findings, places)
        for block, thought in signed:
            if block["thinking"] != thought:
                # It holds only for what was signed.
                block["signature"] = ""
        if findings.blocked:
            raise self.refuse_answer(usage)

    def finish_answer(self, answer: JsonObject, *, free: bool = False) -> None:
        """Put what pseudonyms stand for into an answer that may pass, and what was found."""
        if self._pseudonyms:
            for place in places_of_any(answer) if free else places_of_answer(answer):
                _restore(self._pseudonyms, place)
        if not free:
            answer.update(self.items())

    def refuse_request(self, body: JsonObject) -> GuardrailTriggered:
        """Return the error that what was found in a request is."""
        checks, findings = self.rules.input, self.found[Phase.INPUT]
        told = next((body[name] for name in _TOLD if name in body), None)
        anonymized = told if told is None or isinstance(told, list) else [told]
        item = build_item(checks, findings, anonymized) if checks else {}
        message = build_message(Phase.INPUT, item, None)
        reason = explain(Phase.INPUT, findings)
        return GuardrailTriggered(message, reason, Phase.INPUT, policy_of(findings))

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
        """Return what looks through a stream; None: nothing is to be done there.

        Args:
            provider: Name that errors carry.
        """
        if not self.reads_answers:
            return None
        return StreamGuard(_Output(self, self._pseudonyms), provider)

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

    def __init__(self, guard: Guard, pseudonyms: Pseudonyms | None) -> None:
        checks = guard.rules.output
        self.detectors = checks.detectors if checks else ()
        self.enforces = checks is not None and checks.enforces
        self.listens = checks is not None and bool(checks.judges)
        self.withholds = checks is not None and checks.withholds
        self.pseudonyms = pseudonyms or None
        self.findings = guard.found[Phase.OUTPUT]
        self.clock = guard.clock
        self.refuse = guard.refuse_answer
        self.items = guard.items
        self._reader = _Reader(checks, self.findings) if checks else None

    def read(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, without what is masked in it."""
        if self._reader is not None and self.detectors:
            for place in places_of_answer(value):
                for _ in self._reader.read(place):
                    pass
        return value

    def restore(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, with what pseudonyms in it stand for."""
        if self.pseudonyms is not None:
            for place in places_of_answer(value):
                _restore(self.pseudonyms, place)
        return value


class _Reader:
    """Reads texts, one after the other."""

    def __init__(
        self,
        checks: Checks,
        findings: Findings,
        cleared: Cleared | None = None,
        caller: str = "",
    ) -> None:
        """Read texts.

        Args:
            checks: What is looked for.
            findings: Told what is found.
            cleared: Knows texts that need not be read; None: none.
            caller: Who has sent them.
        """
        self._detectors = checks.detectors
        self._findings = findings
        self._cleared = cleared
        self._origin = checks.settings, caller

    def read(self, place: Place) -> Iterator[int]:
        """Read a text, and put marks into it; yields how many characters were read."""
        cleared = self._cleared if len(place.text) >= FEWEST_CHARACTERS else None
        if cleared is None:
            yield from self._read(place)
            return
        digest = digest_of(place.text, place.context, *self._origin)
        if cleared.knows(digest):
            return
        before = self._findings.total
        yield from self._read(place)
        if self._findings.total == before:
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


def _mend(checks: Checks, findings: Findings, runs: Iterable[Sequence[Place]]) -> None:
    """Mark what begins in one text and ends in another that is read after it.

    What the texts hold by themselves is found when they are read.
    """
    for run in runs:
        for first, second in pairwise(run):
            scanner = Scanner(checks.detectors, Findings())
            scanner.feed(first.text[-_BRIDGED_CHARACTERS:])
            if not (held := scanner.held):
                continue
            ahead, rest = second.text[:_BRIDGED_CHARACTERS], second.text[_BRIDGED_CHARACTERS:]
            bridge = scanner.bridge(ahead, findings, final=not rest)
            if bridge is None or not bridge[0]:
                continue
            first.text = first.text[: len(first.text) - len(held)] + scanner.held + bridge[0]
            second.text = bridge[1] + rest
            first.put(first.text)
            second.put(second.text)


def _restore(pseudonyms: Pseudonyms, place: Place) -> None:
    """Put what pseudonyms stand for into a text; into JSON so that it stays JSON."""
    if "<" not in place.text and not place.is_json:
        return
    if place.is_json and (value := _parse(place.text)) is not None:
        for inner in places_of_arguments(value):
            _restore(pseudonyms, inner)
        text = orjson.dumps(value).decode()
        if value != _parse(place.text):
            place.put(text)
        return
    text = pseudonyms.restore(place.text)
    if text != place.text:
        place.put(text)
