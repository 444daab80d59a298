"""Writes canonical chunks as the events of the Gemini API; pure.

API: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent. Each event is
an answer of its own. A call is whole there, so calls are told at the end.
"""

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.gemini.answer import (
    build_answer,
    build_candidate,
    build_error,
    build_parts,
    build_tail,
)
from modelplane.data_plane.protocols.held_calls import HeldCalls
from modelplane.data_plane.protocols.reading import text_of


class _Candidate:
    """One answer of perhaps several, as far as it is not told yet."""

    def __init__(self) -> None:
        self.calls = HeldCalls()
        self.blocks: list[JsonObject] = []
        self.finish_reason: object = None

    def rest(self) -> JsonObject:
        """Return what is told at the end, as a message."""
        calls = [
            {"id": call.id or None, "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls.finish()
        ]
        return {"tool_calls": calls, "thinking_blocks": self.blocks}


class GeminiStream:
    """Writes one stream."""

    def __init__(self, *, thoughts: bool) -> None:
        """Start before the first chunk; `thoughts`: the caller wants to see them."""
        self._thoughts = thoughts
        self._candidates: dict[int, _Candidate] = {}
        self._last: JsonObject = {}

    def whole(self, answer: JsonObject) -> bytes:
        """Return a whole answer."""
        return orjson.dumps(build_answer(answer, thoughts=self._thoughts))

    def chunk(self, chunk: JsonObject) -> bytes:
        """Return the events that a chunk makes."""
        usage = chunk.get("usage") or self._last.get("usage")
        self._last = {"model": chunk.get("model"), "id": chunk.get("id"), "usage": usage}
        told = [
            build_candidate(choice.get("index"), parts, None)
            for choice in as_objects(chunk.get("choices"))
            if (parts := self._parts(choice))
        ]
        if not told:
            return b""
        tail = build_tail({"model": chunk.get("model"), "id": chunk.get("id")})
        return _event({"candidates": told, **tail})

    def finish(self) -> bytes:
        """Return the event that ends the answer."""
        candidates = [
            build_candidate(
                index,
                list(build_parts(candidate.rest(), thoughts=False)),
                candidate.finish_reason or "stop",
            )
            for index, candidate in sorted(self._candidates.items())
        ]
        return _event({"candidates": candidates, **build_tail(self._last)})

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends an answer which broke off."""
        return _event(build_error(refusal))

    def _parts(self, choice: JsonObject) -> list[JsonObject]:
        """Return what of a chunk's choice is told at once."""
        index = choice.get("index", 0)
        place = index if isinstance(index, int) else 0
        candidate = self._candidates.setdefault(place, _Candidate())
        if choice.get("finish_reason"):
            candidate.finish_reason = choice["finish_reason"]
        delta = as_object(choice.get("delta"))
        for part in as_objects(delta.get("tool_calls")):
            # All are told at the end.
            list(candidate.calls.add(part))
        candidate.blocks += [
            {name: value for name, value in block.items() if name != "index"}
            for block in as_objects(delta.get("thinking_blocks"))
        ]
        parts: list[JsonObject] = []
        if self._thoughts and (thought := as_text(delta.get("reasoning_content"))):
            parts.append({"text": thought, "thought": True})
        if text := text_of(delta.get("content")) or as_text(delta.get("refusal")):
            parts.append({"text": text})
        return parts


def _event(document: JsonObject) -> bytes:
    # As Google ends its lines, and its oldest clients expect them.
    return b"data: %b\r\n\r\n" % orjson.dumps(document)
