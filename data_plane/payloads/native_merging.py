"""Merges the events of a native protocol's stream into the message that they make up: pure.

Used by `capture.py` where a provider's own events pass to the caller
(`upstreams/passed_stream.py`). Of a protocol that is not known here, the events are listed.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.payloads.merging import Parts, joined

# Of an Anthropic delta: the field that comes in pieces, and where it goes.
_DELTAS = {
    "text": "text",
    "thinking": "thinking",
    "signature": "signature",
    "partial_json": "input",
}


class Message(Protocol):
    """A message that grows by events."""

    def add(self, event: JsonObject) -> None:
        """Add an event."""

    def finish(self) -> object:
        """Return the message as far as it has come; None: nothing of it has."""


class EventMerger:
    """Merges the bytes of one stream.

    Attributes:
        size: About how many bytes the merged message has by now, at most.
    """

    def __init__(self, protocol: str) -> None:
        """Start before the first byte.

        Args:
            protocol: Name of the native protocol.
        """
        self.size = 0
        self._parser = SseParser()
        self._message = _MESSAGES.get(protocol, _Events)()

    def feed(self, data: bytes) -> None:
        """Add what was sent.

        Raises:
            ValueError: It is no stream of JSON.
        """
        for event in self._parser.feed(data):
            value = orjson.loads(event)
            if isinstance(value, dict):
                self.size += len(event)
                self._message.add(value)

    def finish(self) -> object:
        """Return the message as far as it has come; None: nothing of it has."""
        return self._message.finish()


class _Events:
    """Lists events."""

    def __init__(self) -> None:
        self._events: list[JsonObject] = []

    def add(self, event: JsonObject) -> None:
        """Add an event."""
        self._events.append(event)

    def finish(self) -> object:
        """Return the events."""
        return self._events or None


class _AnthropicMessage:
    """A message of Anthropic's Messages API."""

    def __init__(self) -> None:
        self._message: JsonObject = {}
        self._blocks: dict[object, JsonObject] = {}

    def add(self, event: JsonObject) -> None:
        """Add an event."""
        kind, index = event.get("type"), event.get("index")
        if kind == "message_start":
            self._message = dict(as_object(event.get("message")))
        elif kind == "content_block_start":
            self._blocks[index] = dict(as_object(event.get("content_block")))
        elif kind == "content_block_delta":
            self._add_delta(self._blocks.setdefault(index, {}), as_object(event.get("delta")))
        elif kind == "message_delta":
            usage = as_object(self._message.get("usage")) | as_object(event.get("usage"))
            self._message |= as_object(event.get("delta")) | {"usage": usage}
        elif kind == "error":
            self._message["error"] = event.get("error")

    def finish(self) -> object:
        """Return the message."""
        if not self._message:
            return None
        return self._message | {"content": [_block(one) for one in self._blocks.values()]}

    def _add_delta(self, block: JsonObject, delta: JsonObject) -> None:
        for name, target in _DELTAS.items():
            if isinstance(piece := delta.get(name), str):
                parts = block.get(target)
                if not isinstance(parts, Parts):
                    # A block begins with an empty text, or an empty input.
                    parts = block[target] = Parts()
                parts.append(piece)
        if "citation" in delta:
            block["citations"] = [*as_objects(block.get("citations")), delta["citation"]]


def _block(block: JsonObject) -> object:
    """Return a finished block; an input that did not come whole stays a text."""
    whole = as_object(joined(block))
    if isinstance(given := whole.get("input"), str):
        with suppress(orjson.JSONDecodeError):
            whole["input"] = orjson.loads(given or "{}")
    return whole


class _ResponsesMessage:
    """A response of OpenAI's Responses API: the last event has all of it."""

    def __init__(self) -> None:
        self._response: JsonObject = {}
        self._ended = False
        self._items: dict[object, JsonObject] = {}
        self._texts: dict[object, Parts] = {}

    def add(self, event: JsonObject) -> None:
        """Add an event."""
        kind, index = event.get("type"), event.get("output_index")
        if response := as_object(event.get("response")):
            self._response = response
            self._ended = kind in ("response.completed", "response.incomplete", "response.failed")
        elif kind == "response.output_item.done":
            self._items[index] = as_object(event.get("item"))
        elif kind == "response.output_text.delta" and isinstance(text := event.get("delta"), str):
            self._texts.setdefault(index, Parts()).append(text)
        elif kind == "error":
            self._response = self._response | {"error": event}

    def finish(self) -> object:
        """Return the response."""
        if self._ended or not self._response:
            return self._response or None
        begun = {
            index: {
                "type": "message",
                "role": "assistant",
                "status": "incomplete",
                "content": [{"type": "output_text", "text": "".join(text)}],
            }
            for index, text in self._texts.items()
        }
        return self._response | {"output": [*(begun | self._items).values()]}


class _GeminiMessage:
    """An answer of the Gemini API: each event has a piece of each candidate."""

    def __init__(self) -> None:
        self._head: JsonObject = {}
        self._candidates: dict[object, JsonObject] = {}
        self._parts: dict[object, list[JsonObject]] = {}

    def add(self, event: JsonObject) -> None:
        """Add an event."""
        self._head |= {name: value for name, value in event.items() if name != "candidates"}
        for candidate in as_objects(event.get("candidates")):
            index = candidate.get("index", 0)
            self._candidates[index] = self._candidates.get(index, {}) | candidate
            known = self._parts.setdefault(index, [])
            for part in as_objects(as_object(candidate.get("content")).get("parts")):
                _add_part(known, part)

    def finish(self) -> object:
        """Return the answer."""
        candidates = [
            candidate
            | {
                "content": as_object(candidate.get("content"))
                | {"parts": [joined(part) for part in self._parts[index]]}
            }
            for index, candidate in self._candidates.items()
        ]
        return self._head | {"candidates": candidates} if candidates else self._head or None


def _add_part(known: list[JsonObject], part: JsonObject) -> None:
    """Add a part, to the text before it where both are texts of one kind."""
    text = part.get("text")
    if not isinstance(text, str) or part.keys() - {"text", "thought"}:
        known.append(part)
        return
    last = known[-1] if known else {}
    parts = last.get("text")
    if not isinstance(parts, Parts) or last.get("thought") != part.get("thought"):
        parts = Parts()
        known.append(part | {"text": parts})
    parts.append(text)


_MESSAGES: Mapping[str, type[_AnthropicMessage | _ResponsesMessage | _GeminiMessage]] = {
    "anthropic/v1/messages": _AnthropicMessage,
    "openai/v1/responses": _ResponsesMessage,
    "gemini/v1/generateContent": _GeminiMessage,
    "gemini/v1/streamGenerateContent": _GeminiMessage,
}
