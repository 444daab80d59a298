"""Reads what Gemini's responses say, one after the other: a stream has several, an answer one.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. Its quirks:

- A turn that calls functions ends with STOP; the canonical `tool_calls` is derived.
- Function calls come whole and without ids: an id is made of the answer's own id and the ordinal.
- A thought signature stays with what it signs, as `extra_content.google.thought_signature` of a
  tool call or of the message: Google's own OpenAI-compatible form. Send the message back with it.
- Code that the model ran, and what came of it, are parts of their own: both become fenced blocks
  of the text, in their places.
- A blocked prompt has no candidates; it is answered with `content_filter`.
- Each event of a stream repeats the usage so far: the last one counts.

Used by `answers.py`, which puts it in canonical form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from modelplane.adapters.providers.canonical.answers import Clock
from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES, check_count
from modelplane.adapters.providers.canonical.json_values import as_object, as_text, dump_arguments
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import AdapterError, RequestRefused, UnusableAnswer
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.counts import (
    estimate_usage,
    parse_logprobs,
    parse_usage,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.executed_code import (
    read_executed_code,
)
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.providers.types import parse_usage as read_usage

_FINISH_REASONS: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# The model broke off: a caller who took these for an end would act on half an answer.
_FAILURES: Mapping[str, type[AdapterError]] = {
    "MALFORMED_FUNCTION_CALL": UnusableAnswer,
    "UNEXPECTED_TOOL_CALL": UnusableAnswer,
    "TOO_MANY_TOOL_CALLS": UnusableAnswer,
    "MALFORMED_RESPONSE": UnusableAnswer,
    "FINISH_REASON_UNSPECIFIED": UnusableAnswer,
    "OTHER": UnusableAnswer,
    "IMAGE_OTHER": UnusableAnswer,
    "NO_IMAGE": UnusableAnswer,
    "MISSING_THOUGHT_SIGNATURE": RequestRefused,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all chunks of one answer share."""

    id: str
    created: int

    def wrap(self, kind: str, choices: list[JsonObject]) -> JsonObject:
        """Return an answer or a chunk with these choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "choices": choices,
        }


@dataclass(slots=True)
class Delta:
    """What one event, or a whole answer, adds to one choice."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[JsonObject] = field(default_factory=list)
    images: list[JsonObject] = field(default_factory=list)
    signature: str = ""
    logprobs: list[JsonObject] = field(default_factory=list)

    def fields(self) -> JsonObject:
        """Return the fields of a message or delta beside role and content."""
        fields: JsonObject = {}
        if self.reasoning:
            fields["reasoning_content"] = self.reasoning
        if self.tool_calls:
            fields["tool_calls"] = self.tool_calls
        if self.images:
            fields["images"] = self.images
        if self.signature:
            fields["extra_content"] = _signed(self.signature)
        return fields


@dataclass(slots=True)
class Choice:
    """How far one choice has come."""

    calls: int = 0
    finish_reason: str = ""
    raw_reason: str = ""
    refusal: str = ""


class GeminiReader:
    """Reads the responses of one answer, of which a stream has several."""

    def __init__(self, provider: str, names: ToolNames, clock: Clock) -> None:
        """Start before the first response.

        Args:
            provider: Name that errors carry.
            names: Names of the tools that the answer may call.
            clock: Wall time, seconds since the epoch, for answers that do not say theirs.
        """
        self.choices: dict[int, Choice] = {}
        self.usage: JsonObject | None = None
        self.text_length = 0
        self._provider = provider
        self._names = names
        self._clock = clock
        self._envelope: Envelope | None = None

    def envelope(self, response: JsonObject) -> Envelope:
        """Return what the answer's chunks share; the first response decides."""
        if self._envelope is None:
            identifier = response.get("responseId")
            created = _epoch(response.get("createTime"))
            self._envelope = Envelope(
                identifier if isinstance(identifier, str) and identifier else uuid4().hex,
                int(self._clock()) if created is None else created,
            )
        return self._envelope

    def read(self, response: JsonObject) -> Iterator[tuple[int, Delta]]:
        """Yield what a response adds to each choice.

        Raises:
            AdapterError: A choice broke off.
        """
        self.envelope(response)
        usage = response.get("usageMetadata")
        if isinstance(usage, dict) and "promptTokenCount" in usage:
            self.usage = parse_usage(usage)
        candidates = response.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                yield from self._read_candidate(candidate)
        if not candidates:
            self._read_block(as_object(response.get("promptFeedback")))

    def _read_candidate(self, candidate: JsonObject) -> Iterator[tuple[int, Delta]]:
        index = candidate.get("index")
        number = index if isinstance(index, int) else 0
        choice = self.choices.setdefault(number, Choice())
        check_count(self._provider, len(self.choices), MAX_CHOICES, "choices")
        delta = Delta(logprobs=parse_logprobs(candidate.get("logprobsResult")))
        parts = as_object(candidate.get("content")).get("parts")
        for part in parts if isinstance(parts, list) else ():
            self._read_part(number, choice, as_object(part), delta)
        self.text_length += len(delta.text)
        yield number, delta
        if reason := candidate.get("finishReason"):
            self._end(choice, str(reason), candidate)

    def _read_part(self, number: int, choice: Choice, part: JsonObject, delta: Delta) -> None:
        signature = part.get("thoughtSignature")
        call = part.get("functionCall")
        if isinstance(call, dict):
            delta.tool_calls.append(self._call(number, choice, call, signature))
            return
        text = as_text(part.get("text")) or read_executed_code(part)
        if part.get("thought"):
            delta.reasoning += text
        else:
            delta.text += text
        if isinstance(signature, str):
            delta.signature = signature
        if blob := as_object(part.get("inlineData")):
            url = f"data:{blob.get('mimeType')};base64,{blob.get('data')}"
            delta.images.append({"type": "image_url", "image_url": {"url": url}})

    def _call(self, number: int, choice: Choice, call: JsonObject, signature: object) -> JsonObject:
        given = call.get("id")
        name = self._names.decode(as_text(call.get("name")))
        own = f"call_{self._envelope.id if self._envelope else ''}_{number}_{choice.calls}"
        choice.calls += 1
        arguments = dump_arguments(self._provider, as_object(call.get("args")))
        result: JsonObject = {
            "id": given if isinstance(given, str) and given else own,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        if isinstance(signature, str):
            result["extra_content"] = _signed(signature)
        return result

    def _end(self, choice: Choice, reason: str, candidate: JsonObject) -> None:
        if failure := _FAILURES.get(reason):
            detail = {"finishReason": reason, "finishMessage": candidate.get("finishMessage")}
            error = failure(self._provider, detail)
            error.usage = read_usage({"usage": self.usage})
            try:
                raise error
            finally:
                del error
        known = _FINISH_REASONS.get(reason)
        choice.finish_reason = known or "stop"
        choice.raw_reason = "" if known else reason
        if known == "stop" and choice.calls:
            choice.finish_reason = "tool_calls"

    def _read_block(self, feedback: JsonObject) -> None:
        if reason := feedback.get("blockReason"):
            said = feedback.get("blockReasonMessage") or f"The prompt was blocked: {reason}."
            self.choices[0] = Choice(finish_reason="content_filter", refusal=str(said))

    def total_usage(self, prompt_length: int) -> JsonObject:
        """Return the usage reported last, or an estimate.

        Args:
            prompt_length: Characters of the prompt.
        """
        return self.usage or estimate_usage(prompt_length, self.text_length)


def _signed(signature: str) -> JsonObject:
    return {"google": {"thought_signature": signature}}


def _epoch(value: object) -> int | None:
    try:
        return int(datetime.fromisoformat(str(value)).timestamp())
    except ValueError:
        return None
