"""Writes canonical chunks as the events of a streamed response; pure.

API: https://platform.openai.com/docs/api-reference/responses-streaming. Clients rely on it that
each item is added and done, each call with an identifier, and that the stream ends with one of
`response.completed`, `response.incomplete` and `response.failed`, which has the usage. One item is
open at a time.
"""

from collections.abc import Callable

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.held_calls import HeldCall, HeldCalls
from modelplane.data_plane.protocols.responses.answer import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    INCOMPLETE,
    Asked,
    build_end,
    build_head,
    build_message,
    build_reasoning,
    build_text,
    make_call,
    make_id,
)


class ResponseStream:
    """Writes one stream."""

    def __init__(self, asked: Asked) -> None:
        """Start before the first chunk."""
        self._asked = asked
        self._events: list[bytes] = []
        self._number = 0
        self._response: JsonObject = {}
        self._output: list[JsonObject] = []
        # What is open, and how it is closed; None: nothing is.
        self._kind = ""
        self._item: JsonObject = {}
        self._texts: list[str] = []
        self._blocks: list[JsonObject] = []
        self._logprobs: list[object] = []
        self._close: Callable[[], None] | None = None
        self._calls = HeldCalls()
        self._finish_reason: object = None
        self._usage: object = None

    def chunk(self, chunk: JsonObject) -> bytes:
        """Return the events that a chunk makes."""
        self._start(chunk)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for choice in as_objects(chunk.get("choices")):
            # Others cannot be asked for.
            if choice.get("index", 0) != 0:
                continue
            self._add(as_object(choice.get("delta")), choice)
            if choice.get("finish_reason"):
                self._finish_reason = choice["finish_reason"]
        return self._take()

    def finish(self) -> bytes:
        """Return the events that end the response."""
        self._start({})
        self._end_item()
        for call in self._calls.finish():
            self._call(call)
        self._end_item()
        self._response |= build_end(self._finish_reason, self._usage)
        kind = INCOMPLETE if self._response["status"] == INCOMPLETE else COMPLETED
        self._emit(f"response.{kind}", response=self._response | {"output": self._output})
        return self._take()

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a response which broke off."""
        self._start({})
        error = {"code": refusal.status.error_code.lower(), "message": refusal.message}
        failed = {"status": FAILED, "error": error, "output": self._output}
        self._emit("response.failed", response=self._response | failed)
        return self._take()

    def _take(self) -> bytes:
        events, self._events = self._events, []
        return b"".join(events)

    def _emit(self, event: str, **data: object) -> None:
        text = orjson.dumps({"type": event, "sequence_number": self._number, **data})
        self._number += 1
        self._events.append(b"event: %b\ndata: %b\n\n" % (event.encode(), text))

    def _start(self, chunk: JsonObject) -> None:
        if self._response:
            return
        self._response = build_head(chunk, self._asked)
        self._emit("response.created", response=self._response)
        self._emit("response.in_progress", response=self._response)

    def _add(self, delta: JsonObject, choice: JsonObject) -> None:
        if thought := as_text(delta.get("reasoning_content")):
            self._think(thought)
        for block in as_objects(delta.get("thinking_blocks")):
            self._end_thought(block)
        if text := as_text(delta.get("content")):
            self._say(text, as_objects(as_object(choice.get("logprobs")).get("content")))
        if refusal := as_text(delta.get("refusal")):
            self._refuse(refusal)
        for part in as_objects(delta.get("tool_calls")):
            for call in self._calls.add(part):
                self._call(call)

    # Items. Each is opened by its first piece, and closed by whatever is no piece of it.

    def _open(self, kind: str, item: JsonObject, close: Callable[[], None]) -> bool:
        """Open an item unless it is open; return whether it was opened."""
        if self._kind == kind:
            return False
        self._end_item()
        self._kind, self._item, self._close = kind, item, close
        self._emit("response.output_item.added", output_index=len(self._output), item=item)
        return True

    def _end_item(self) -> None:
        close, self._close = self._close, None
        if close is None:
            return
        close()
        self._emit("response.output_item.done", output_index=len(self._output), item=self._item)
        self._output.append(self._item)
        self._kind, self._item = "", {}
        self._texts, self._blocks, self._logprobs = [], [], []

    def _piece(self, event: str, **data: object) -> None:
        place = {"item_id": self._item["id"], "output_index": len(self._output)}
        self._emit(f"response.{event}", **place, **data)

    def _think(self, thought: str) -> None:
        item = build_reasoning("", (), self._asked)
        if self._open("reasoning", item, self._end_reasoning) or not self._texts:
            part = {"type": "summary_text", "text": ""}
            self._piece("reasoning_summary_part.added", summary_index=0, part=part)
        self._texts.append(thought)
        self._piece("reasoning_summary_text.delta", summary_index=0, delta=thought)

    def _end_thought(self, block: JsonObject) -> None:
        thought = as_text(block.get("thinking"))
        if thought and not (self._kind == "reasoning" and self._texts):
            self._think(thought)
        self._open("reasoning", build_reasoning("", (), self._asked), self._end_reasoning)
        self._blocks.append({name: value for name, value in block.items() if name != "index"})

    def _end_reasoning(self) -> None:
        text = "".join(self._texts)
        whole = build_reasoning(text, self._blocks, self._asked)
        if text:
            self._piece("reasoning_summary_text.done", summary_index=0, text=text)
            part = {"type": "summary_text", "text": text}
            self._piece("reasoning_summary_part.done", summary_index=0, part=part)
        self._item = whole | {"id": self._item["id"]}

    def _say(self, text: str, logprobs: list[JsonObject]) -> None:
        item = build_message(make_id("msg"), (), IN_PROGRESS)
        if self._open("text", item, self._end_text):
            self._piece("content_part.added", content_index=0, part=build_text(""))
        self._texts.append(text)
        self._logprobs += logprobs
        self._piece("output_text.delta", content_index=0, delta=text, logprobs=logprobs)

    def _end_text(self) -> None:
        text, logprobs = "".join(self._texts), self._logprobs
        part = build_text(text, logprobs)
        self._piece("output_text.done", content_index=0, text=text, logprobs=logprobs)
        self._piece("content_part.done", content_index=0, part=part)
        self._item = build_message(str(self._item["id"]), (part,), COMPLETED)

    def _refuse(self, refusal: str) -> None:
        item = build_message(make_id("msg"), (), IN_PROGRESS)
        if self._open("refusal", item, self._end_refusal):
            part = {"type": "refusal", "refusal": ""}
            self._piece("content_part.added", content_index=0, part=part)
        self._texts.append(refusal)
        self._piece("refusal.delta", content_index=0, delta=refusal)

    def _end_refusal(self) -> None:
        part: JsonObject = {"type": "refusal", "refusal": "".join(self._texts)}
        self._piece("refusal.done", content_index=0, refusal=part["refusal"])
        self._piece("content_part.done", content_index=0, part=part)
        self._item = build_message(str(self._item["id"]), (part,), COMPLETED)

    def _call(self, call: HeldCall) -> None:
        call.id = call.id or make_id("call")
        item = make_call(call.id, call.name, "", self._asked)
        empty = "input" if "input" in item else "arguments"
        item |= {"status": IN_PROGRESS, empty: ""}
        self._open(f"call {call.index}", item, self._end_call)
        for arguments in call.take():
            self._texts.append(arguments)
            if empty == "arguments":
                self._piece("function_call_arguments.delta", delta=arguments)

    def _end_call(self) -> None:
        arguments = "".join(self._texts)
        call_id, name = str(self._item["call_id"]), str(self._item["name"])
        whole = make_call(call_id, name, arguments, self._asked)
        if "input" in whole:
            # It was a piece of JSON before; only the whole of it is the text that the tool takes.
            self._piece("custom_tool_call_input.delta", delta=whole["input"])
            self._piece("custom_tool_call_input.done", input=whole["input"])
        else:
            self._piece("function_call_arguments.done", arguments=whole["arguments"], name=name)
        self._item = whole | {"id": self._item["id"]}
