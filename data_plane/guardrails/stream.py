"""Guardrails applied to a stream of canonical chunks: nothing leaves that may be looked for; pure.

Each text of a choice is read by a scanner of its own, which holds back what may still become
something. Calls leave whole, when their choice ends. What has another form than those that chunks
are known to have does not leave at all, as nobody could say what is in its pieces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from modelplane.adapters.providers.canonical.bounds import (
    MAX_CALLS,
    MAX_CHOICES,
    GrowingText,
    check_count,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject, Usage
from modelplane.data_plane.errors import GuardrailTriggered
from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.scanner import Findings, Scanner

_CONTENT, _TEXT, _THINKING, _CALLS = "content", "text", "thinking", "tool_calls"
_BLOCKS, _SIGNATURE, _FUNCTION = "thinking_blocks", "signature", "function_call"
# Texts of a delta, in the order in which they end: thoughts come before what is said.
_THOUGHTS = ("reasoning_content", "reasoning")
_CHANNELS = (*_THOUGHTS, _CONTENT, "refusal")
# What else a delta may have.
_PLAIN = ("role", "extra_content")


@dataclass(slots=True)
class _Call:
    """A call that is held back."""

    start: JsonObject
    arguments: GrowingText


@dataclass(slots=True)
class _Choice:
    """What is known of one choice."""

    scanners: dict[str, Scanner] = field(default_factory=dict)
    calls: dict[object, _Call] = field(default_factory=dict)
    # By the index that a provider tells: under which key its newest call is.
    newest: dict[object, object] = field(default_factory=dict)


class Side(Protocol):
    """The guardrails of answers, of one call; see `guard.py`.

    Attributes:
        detectors: Say what is looked for.
        findings: Told what is found.
        clock: Monotonic time, seconds.
    """

    detectors: tuple[Detector, ...]
    findings: Findings
    clock: Callable[[], float]

    def read(self, value: JsonObject) -> JsonObject:
        """Return a part that has come whole, without what is masked in it."""

    def refuse(self, usage: Usage | None) -> GuardrailTriggered:
        """Return the error that what was found is."""

    def items(self) -> JsonObject:
        """Return what was found, as an answer tells it."""


class StreamGuard:
    """Looks through one stream.

    Attributes:
        side: The guardrails.
    """

    def __init__(self, side: Side, provider: str) -> None:
        """Start before the first chunk.

        Args:
            side: The guardrails.
            provider: Name that errors carry.
        """
        self.side = side
        self._clock = side.clock
        self._detectors = side.detectors
        self._findings = side.findings
        self._read = side.read
        self._provider = provider
        self._choices: dict[int, _Choice] = {}
        self._last: JsonObject = {}

    @property
    def blocked(self) -> bool:
        """Whether something was found that must not pass: the stream ends."""
        return self._findings.blocked

    @property
    def open_choices(self) -> Sequence[int]:
        """Indexes of the choices that have begun and not ended."""
        return sorted(self._choices)

    def feed(self, chunk: JsonObject) -> Sequence[JsonObject]:
        """Return the chunks that may leave now that one has come, which is taken over.

        Raises:
            MalformedAnswer: There is too much to hold back.
        """
        started = self._clock()
        try:
            return self._feed(chunk)
        finally:
            self._findings.seconds += self._clock() - started

    def _feed(self, chunk: JsonObject) -> Sequence[JsonObject]:
        self._last = chunk
        choices = as_objects(chunk.get("choices"))
        said = [tail for choice in choices if (tail := self._take(choice))]
        if "choices" in chunk:
            others = {name: value for name, value in chunk.items() if name != "choices"}
            chunk = {**self._read(others), "choices": choices}
        else:
            chunk = self._read(chunk)
        if self.blocked:
            return ()
        tails = (self._frame(said),) if said else ()
        speaks = not choices or any(map(_says_something, choices)) or "usage" in chunk
        return (*tails, chunk) if speaks else tails

    def finish(self) -> Sequence[JsonObject]:
        """Return what is left of a stream that ended before its choices did."""
        rests = [
            rest for index in self.open_choices if (rest := self._end(index, self._choices[index]))
        ]
        self._choices.clear()
        return (self._frame(rests),) if rests and not self.blocked else ()

    def _frame(self, choices: list[JsonObject]) -> JsonObject:
        """Return a chunk with choices, and nothing else that does not come with each one."""
        names = ("id", "object", "created", "model", "system_fingerprint")
        frame = {name: self._last[name] for name in names if name in self._last}
        return {**frame, "choices": choices}

    def _take(self, choice: JsonObject) -> JsonObject | None:
        """Take out of a choice what must wait; return what comes before it, where it ends."""
        index = choice.get("index")
        place = index if isinstance(index, int) else 0
        known = self._choices.setdefault(place, _Choice())
        check_count(self._provider, len(self._choices), MAX_CHOICES, "choices")
        if choice.get("logprobs"):
            # They repeat the text, token by token.
            choice["logprobs"] = None
        if isinstance(choice.get(_TEXT), str):
            choice[_TEXT] = self._scan(known, _TEXT, as_text(choice[_TEXT]))
        if "delta" in choice:
            choice["delta"] = self._take_delta(known, as_object(choice["delta"]))
        if not choice.get("finish_reason"):
            return None
        rest = self._end(place, known)
        del self._choices[place]
        return rest

    def _take_delta(self, known: _Choice, delta: JsonObject) -> JsonObject:
        left = {name: delta[name] for name in _PLAIN if name in delta}
        thought, text = _split_parts(delta)
        for name in _CHANNELS:
            piece = text if name == _CONTENT else as_text(delta.get(name))
            piece = piece + thought if name == _THOUGHTS[0] else piece
            told = self._scan(known, name, piece) if piece else ""
            if name in _THOUGHTS and (text or _BLOCKS in delta):
                told += self._flush(known, name)
            if told or delta.get(name) == "":
                left[name] = told
        if blocks := [self._read_thought(known, one) for one in as_objects(delta.get(_BLOCKS))]:
            left[_BLOCKS] = blocks
        for call in as_objects(delta.get(_CALLS)):
            self._hold(known, call.get("index", 0), call, as_object(call.get("function")))
        if function := as_object(delta.get(_FUNCTION)):
            self._hold(known, _FUNCTION, {}, function)
        return left

    def _scan(self, known: _Choice, name: str, piece: str) -> str:
        scanner = known.scanners.get(name)
        if scanner is None:
            scanner = known.scanners[name] = Scanner(self._detectors, self._findings)
        return scanner.feed(piece)

    def _flush(self, known: _Choice, name: str) -> str:
        """Return what is held of a text that goes on no further."""
        scanner = known.scanners.pop(name, None)
        return scanner.feed("", final=True) if scanner else ""

    def _read_thought(self, known: _Choice, block: JsonObject) -> JsonObject:
        """Return a block of thoughts; its signature ends it, and holds only for what was signed."""
        thought = block.get(_THINKING)
        if not isinstance(thought, str):
            return self._read(block)
        told = self._scan(known, _THINKING, thought)
        if not block.get(_SIGNATURE):
            return block | {_THINKING: told}
        told += self._flush(known, _THINKING)
        return block | {_THINKING: told} | ({} if told == thought else {_SIGNATURE: ""})

    def _hold(self, known: _Choice, index: object, call: JsonObject, function: JsonObject) -> None:
        index = index if isinstance(index, int | str) else 0
        key = known.newest.get(index, index)
        held = known.calls.get(key)
        if held is not None and _is_another(held.start, call):
            # Some providers give all their calls the same index.
            key, held = f"{index} {call['id']}", None
        if held is None:
            known.newest[index] = key
            check_count(self._provider, len(known.calls) + 1, MAX_CALLS, "calls")
            held = known.calls[key] = _Call({}, GrowingText(self._provider))
        held.arguments.add(as_text(function.get("arguments")))
        start = held.start
        names = {name: value for name, value in call.items() if name != "function" and value}
        start |= names | {"index": call.get("index", 0)}
        before = as_object(start.get("function"))
        told = {name: item for name, item in function.items() if item and name != "arguments"}
        start["function"] = before | told

    def _end(self, index: int, known: _Choice) -> JsonObject | None:
        """Return what is held of a choice that ends, as a choice of its own; None: nothing is."""
        delta: JsonObject = {}
        for name in _CHANNELS:
            if told := self._flush(known, name):
                delta[name] = told
        if thought := self._flush(known, _THINKING):
            delta[_BLOCKS] = [{"type": _THINKING, _THINKING: thought}]
        calls = [self._release(call) for call in known.calls.values()]
        if calls and _FUNCTION in known.calls:
            delta[_FUNCTION] = calls.pop()["function"]
        if calls:
            delta[_CALLS] = calls
        text = self._flush(known, _TEXT)
        if delta:
            return {"index": index, "delta": delta, "finish_reason": None}
        return {"index": index, _TEXT: text, "finish_reason": None} if text else None

    def _release(self, call: _Call) -> JsonObject:
        """Return a call that is whole."""
        function = as_object(call.start.get("function")) | {"arguments": call.arguments.take()}
        return self._read({**call.start, "function": function})


def _is_another(start: JsonObject, call: JsonObject) -> bool:
    """Tell whether a piece belongs to another call than the one that began with `start`."""
    return bool(call.get("id")) and bool(start.get("id")) and call["id"] != start["id"]


def _split_parts(delta: JsonObject) -> tuple[str, str]:
    """Return what a delta thinks in parts of its content, and what it says there or as a text."""
    content = delta.get(_CONTENT)
    if not isinstance(content, list):
        return "", as_text(content)
    parts = as_objects(content)
    thoughts = [
        as_text(summary.get(_TEXT))
        for part in parts
        for summary in (*as_objects(part.get("summary")), *as_objects(part.get(_THINKING)))
    ]
    return "".join(thoughts), "".join(as_text(part.get(_TEXT)) for part in parts)


def _says_something(choice: JsonObject) -> bool:
    """Tell whether a choice still has anything for its caller."""
    if choice.get("finish_reason") or choice.get(_TEXT):
        return True
    return bool(choice.get("delta"))
