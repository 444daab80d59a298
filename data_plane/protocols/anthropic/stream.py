"""Writes canonical chunks as the events of a streamed message; pure.

API: https://docs.anthropic.com/en/api/messages-streaming. Clients rely on an order that chunks do
not have: one `message_start`, whose input tokens are above zero; then blocks that never overlap,
with deltas of their own type only; then one `message_delta` and `message_stop`. So what belongs to
another block than the open one closes that, and calls whose arguments come by turns are held until
the one before is whole.
"""

from uuid import uuid4

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.anthropic.answer import (
    build_error,
    build_head,
    build_usage,
    stop_reason_of,
)
from modelplane.data_plane.protocols.held_calls import HeldCall, HeldCalls
from modelplane.data_plane.protocols.reading import text_of

_TEXT, _THINKING, _TOOL = "text", "thinking", "tool_use"


class MessageStream:
    """Writes one stream."""

    def __init__(self, input_tokens: int) -> None:
        """Start before the first chunk.

        Args:
            input_tokens: About how many tokens the prompt has: the true number comes at the end.
        """
        self._input_tokens = max(input_tokens, 1)
        self._started = False
        # Kind of the open block, if there is one; `_index` is the one that it has, or will get.
        self._open = ""
        self._index = 0
        self._calls = HeldCalls()
        self._finish_reason: object = None
        self._usage: JsonObject = {}
        self._head: JsonObject = {}

    def chunk(self, chunk: JsonObject) -> bytes:
        """Return the events that a chunk makes."""
        events: list[bytes] = []
        self._start(events, chunk)
        if usage := as_object(chunk.get("usage")):
            self._usage = usage
        for choice in as_objects(chunk.get("choices")):
            # Others cannot be expressed, nor asked for.
            if choice.get("index", 0) != 0:
                continue
            self._add(events, as_object(choice.get("delta")))
            if choice.get("finish_reason"):
                self._finish_reason = choice["finish_reason"]
        return b"".join(events)

    def finish(self) -> bytes:
        """Return the events that end the message."""
        events: list[bytes] = []
        self._start(events, self._head)
        for call in self._calls.finish():
            self._send_call(events, call)
        self._close(events)
        usage = build_usage(self._usage) if self._usage else {"output_tokens": 0}
        delta = {"stop_reason": stop_reason_of(self._finish_reason), "stop_sequence": None}
        events.append(_event("message_delta", {"delta": delta, "usage": usage}))
        events.append(_event("message_stop", {}))
        return b"".join(events)

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a message which broke off."""
        return fail(refusal)

    def _start(self, events: list[bytes], chunk: JsonObject) -> None:
        if self._started:
            return
        self._started = True
        usage = build_usage({"prompt_tokens": self._input_tokens, "completion_tokens": 1})
        message = build_head(chunk) | {"usage": usage}
        events.append(_event("message_start", {"message": message}))

    def _add(self, events: list[bytes], delta: JsonObject) -> None:
        if thought := as_text(delta.get("reasoning_content")):
            self._think(events, thought)
        for block in as_objects(delta.get("thinking_blocks")):
            self._end_thought(events, block)
        if text := text_of(delta.get("content")) or as_text(delta.get("refusal")):
            self._switch(events, _TEXT, {"type": _TEXT, "text": ""})
            self._delta(events, {"type": "text_delta", "text": text})
        for part in as_objects(delta.get("tool_calls")):
            for call in self._calls.add(part):
                self._send_call(events, call)

    def _think(self, events: list[bytes], thought: str) -> None:
        self._switch(events, _THINKING, {"type": _THINKING, "thinking": "", "signature": ""})
        self._delta(events, {"type": "thinking_delta", "thinking": thought})

    def _end_thought(self, events: list[bytes], block: JsonObject) -> None:
        """Sign the thought that is open with what comes when it is whole."""
        if block.get("type") != _THINKING:
            self._close(events)
            whole = {name: value for name, value in block.items() if name != "index"}
            self._switch(events, str(block.get("type")), whole)
            self._close(events)
            return
        if self._open != _THINKING and (thought := as_text(block.get("thinking"))):
            self._think(events, thought)
        if self._open == _THINKING:
            signature = as_text(block.get("signature"))
            self._delta(events, {"type": "signature_delta", "signature": signature})
            self._close(events)

    def _send_call(self, events: list[bytes], call: HeldCall) -> None:
        block: JsonObject = {
            "type": _TOOL,
            "id": call.id or f"toolu_{uuid4().hex[:24]}",
            "name": call.name,
            "input": {},
        }
        self._switch(events, f"{_TOOL} {call.index}", block)
        for arguments in call.take():
            self._delta(events, {"type": "input_json_delta", "partial_json": arguments})

    def _switch(self, events: list[bytes], kind: str, block: JsonObject) -> None:
        if self._open == kind:
            return
        self._close(events)
        self._open = kind
        data = {"index": self._index, "content_block": block}
        events.append(_event("content_block_start", data))

    def _close(self, events: list[bytes]) -> None:
        if self._open:
            self._open = ""
            events.append(_event("content_block_stop", {"index": self._index}))
            self._index += 1

    def _delta(self, events: list[bytes], delta: JsonObject) -> None:
        data = {"index": self._index, "delta": delta}
        events.append(_event("content_block_delta", data))


def fail(refusal: Refusal) -> bytes:
    """Return the event that ends a message which broke off."""
    return _event("error", {"error": build_error(refusal, "")["error"]})


def _event(name: str, data: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **data}))
