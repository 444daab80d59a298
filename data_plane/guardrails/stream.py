"""Guardrails applied to a stream of canonical chunks: nothing leaves that may be looked for; pure.

Each text of a choice is read by a scanner of its own, which holds back what may still become
something. Calls leave whole, when their choice ends. What has another form than those that chunks
are known to have does not leave at all, as nobody could say what is in its pieces.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from modelplane.adapters.providers.canonical.bounds import (
    MAX_CALLS,
    MAX_CHOICES,
    GrowingText,
    check_count,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.guardrails.channels import Channels, Side
from modelplane.data_plane.guardrails.conversation import ASSISTANT
from modelplane.data_plane.guardrails.judges import Turn

_CONTENT, _TEXT, _THINKING, _CALLS = "content", "text", "thinking", "tool_calls"
_BLOCKS, _SIGNATURE, _FUNCTION, _REFUSAL = (
    "thinking_blocks",
    "signature",
    "function_call",
    "refusal",
)
# Texts of a delta, in the order in which they end: thoughts come before what is said.
_THOUGHTS = ("reasoning_content", "reasoning")
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

    channels: Channels
    calls: dict[object, _Call] = field(default_factory=dict)
    # By the index that a provider tells: under which key its newest call is.
    newest: dict[object, object] = field(default_factory=dict)
    # The block of thoughts whose end is not read yet, and how much was found before it.
    block: JsonObject = field(default_factory=dict)
    found_before: int = 0


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
        self._findings = side.findings
        self._provider = provider
        self._choices: dict[int, _Choice] = {}
        self._said: dict[int, list[str]] = {}
        self._last: JsonObject = {}
        # Chunks that wait for a verdict, a line each.
        self._kept = GrowingText(provider)
        # What only is recorded is read in a copy, and holds up nothing.
        self._copies = not side.enforces and side.pseudonyms is None

    @property
    def blocked(self) -> bool:
        """Whether something was found that must not pass: the stream ends."""
        return self._findings.blocked

    @property
    def waits(self) -> bool:
        """Whether judges are still to read it when it has ended."""
        return self.side.listens and not self.blocked

    @property
    def open_choices(self) -> Sequence[int]:
        """Indexes of the choices that have begun and not ended."""
        return sorted(self._choices)

    @property
    def turns(self) -> Sequence[Turn]:
        """What the answer has said, for judges."""
        texts = ("".join(said) for said in self._said.values())
        return [Turn(ASSISTANT, text) for text in texts if text.strip()]

    def feed(self, chunk: JsonObject) -> Sequence[JsonObject]:
        """Return the chunks that may leave now that one has come, which is taken over.

        Raises:
            MalformedAnswer: There is too much to hold back.
        """
        started = self._clock()
        try:
            if self._copies:
                self._feed(orjson.loads(orjson.dumps(chunk)))
                return (chunk,)
            return self.keep(self._feed(chunk))
        finally:
            self._findings.seconds += self._clock() - started

    def _feed(self, chunk: JsonObject) -> Sequence[JsonObject]:
        self._last = chunk
        choices = as_objects(chunk.get("choices"))
        said = [tail for choice in choices if (tail := self._take(choice))]
        if "choices" in chunk:
            others = {name: value for name, value in chunk.items() if name != "choices"}
            chunk = {**self.side.read(others), "choices": choices}
        else:
            chunk = self.side.read(chunk)
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
        if not rests or self.blocked or self._copies:
            return ()
        return self.keep((self._frame(rests),))

    def keep(self, chunks: Sequence[JsonObject]) -> Sequence[JsonObject]:
        """Return chunks that may leave: none, where judges read a stream before any does.

        Raises:
            MalformedAnswer: There is too much to hold back.
        """
        if not self.side.withholds:
            return chunks
        for chunk in chunks:
            self._kept.add(orjson.dumps(chunk, option=orjson.OPT_APPEND_NEWLINE).decode())
        return ()

    def release(self) -> Iterator[JsonObject]:
        """Yield the chunks that have waited."""
        # Texts may hold what else ends a line.
        yield from (orjson.loads(line) for line in self._kept.take().split("\n") if line)

    def _frame(self, choices: list[JsonObject]) -> JsonObject:
        """Return a chunk with choices, and nothing else that does not come with each one."""
        names = ("id", "object", "created", "model", "system_fingerprint")
        frame = {name: self._last[name] for name in names if name in self._last}
        return {**frame, "choices": choices}

    def _take(self, choice: JsonObject) -> JsonObject | None:
        """Take out of a choice what must wait; return what comes before it, where it ends."""
        index = choice.get("index")
        place = index if isinstance(index, int) else 0
        known = self._choices.get(place)
        if known is None:
            check_count(self._provider, len(self._choices) + 1, MAX_CHOICES, "choices")
            known = self._choices[place] = _Choice(Channels(self.side))
            self._said[place] = known.channels.said
        if choice.get("logprobs"):
            # They repeat the text, token by token.
            choice["logprobs"] = None
        if isinstance(choice.get(_TEXT), str):
            choice[_TEXT] = known.channels.scan(_TEXT, as_text(choice[_TEXT]))
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
        blocks = as_objects(delta.get(_BLOCKS))
        for name in _THOUGHTS:
            piece = as_text(delta.get(name)) + (thought if name == _THOUGHTS[0] else "")
            told = known.channels.scan(name, piece) if piece else ""
            told += known.channels.flush(name) if blocks else ""
            if told or delta.get(name) == "":
                left[name] = told
        for block in blocks:
            self._take_block(known, block, left)
        if text:
            ended, text = known.channels.follow((*_THOUGHTS, _THINKING), text)
            self._put(known, ended, left)
        for name, piece in ((_CONTENT, text), (_REFUSAL, as_text(delta.get(_REFUSAL)))):
            told = known.channels.scan(name, piece) if piece else ""
            if told or delta.get(name) == "":
                left[name] = told
        self._hold_calls(known, delta)
        return left

    def _hold_calls(self, known: _Choice, delta: JsonObject) -> None:
        for call in as_objects(delta.get(_CALLS)):
            self._hold(known, call.get("index", 0), call, as_object(call.get("function")))
        if function := as_object(delta.get(_FUNCTION)):
            self._hold(known, _FUNCTION, {}, function)

    def _take_block(self, known: _Choice, block: JsonObject, left: JsonObject) -> None:
        """Put into a delta what of a block of thoughts may leave; its signature ends it."""
        ended, _ = known.channels.follow((), "", final=True)
        self._put(known, ended, left)
        thought = block.get(_THINKING)
        if not known.block:
            known.found_before = self._findings.entities.total()
        if not isinstance(thought, str):
            _add(left, self.side.restore(self.side.read(block)))
            return
        told = known.channels.scan(_THINKING, thought)
        known.block = {**block, _THINKING: told}
        if not block.get(_SIGNATURE):
            _add(left, known.block)
            known.block = {"type": _THINKING}
            return
        ended, _ = known.channels.follow((_THINKING,), "")
        self._put(known, ended, left)

    def _put(self, known: _Choice, ended: Mapping[str, str], left: JsonObject) -> None:
        """Put what is left of thoughts that have ended into a delta."""
        for name, told in ended.items():
            if name != _THINKING:
                if told:
                    left[name] = as_text(left.get(name)) + told
                continue
            block, known.block = known.block, {}
            block = {**block, _THINKING: as_text(block.get(_THINKING)) + told}
            found = self._findings.entities.total()
            if block.get(_SIGNATURE) and found > known.found_before:
                # It holds only for what was signed.
                block[_SIGNATURE] = ""
            if block[_THINKING] or block.get(_SIGNATURE):
                _add(left, block)

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
        ended, rest = known.channels.follow((*_THOUGHTS, _THINKING), "", final=True)
        self._put(known, ended, delta)
        said = known.channels.scan(_CONTENT, rest) if rest else ""
        for name, told in ((_CONTENT, said), (_REFUSAL, "")):
            if told := told + known.channels.flush(name):
                delta[name] = told
        calls = [self._release(known, call) for call in known.calls.values()]
        if calls and _FUNCTION in known.calls:
            delta[_FUNCTION] = calls.pop()["function"]
        if calls:
            delta[_CALLS] = calls
        text = known.channels.flush(_TEXT)
        if delta:
            return {"index": index, "delta": delta, "finish_reason": None}
        return {"index": index, _TEXT: text, "finish_reason": None} if text else None

    def _release(self, known: _Choice, call: _Call) -> JsonObject:
        """Return a call that is whole."""
        function = as_object(call.start.get("function")) | {"arguments": call.arguments.take()}
        whole = self.side.read({**call.start, "function": function})
        if self.side.listens:
            known.channels.said.append(as_text(as_object(whole["function"]).get("arguments")))
        return self.side.restore(whole)


def _add(left: JsonObject, block: JsonObject) -> None:
    """Add a block of thoughts to a delta."""
    left[_BLOCKS] = [*as_objects(left.get(_BLOCKS)), block]


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
