"""Gemini's answers in canonical form, whole or streamed, for chats and completions.

No event of a stream marks its end: the body's end does, after each choice has got a finish reason.

Used by `adapters.py`; `reader.py` reads.
"""

from collections.abc import Iterator

from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_object
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.counts import build_logprobs
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.reader import (
    Choice,
    Delta,
    GeminiReader,
)
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.types import JsonObject, Task, Usage, parse_usage


class GeminiStreamParser:
    """Parses one streamed chat or completion."""

    __slots__ = ("_kind", "_prompt_length", "_provider", "_reader", "_sse", "_task", "ended")

    def __init__(self, provider: str, task: Task, reader: GeminiReader, prompt_length: int) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            task: Chat or completions: the shape of the chunks.
            reader: Reads the events.
            prompt_length: Characters of the prompt, should its tokens have to be estimated.
        """
        self.ended = False
        self._provider = provider
        self._task = task
        self._kind = "chat.completion.chunk" if task is Task.CHAT else "text_completion"
        self._reader = reader
        self._prompt_length = prompt_length
        self._sse = SseParser()

    @property
    def usage(self) -> Usage | None:
        """What Gemini has counted so far; see `StreamParser`."""
        return parse_usage({"usage": self._reader.usage})

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        try:
            for event in self._sse.feed(data):
                yield from self._chunks(event)
        except AdapterError as error:
            error.event = event
            raise
        except ValueError as error:
            raise MalformedAnswer(self._provider, str(error)) from error

    def finish(self) -> Iterator[JsonObject]:
        """Yield the ends of the choices and the usage; see `StreamParser`."""
        for event in self._sse.finish():
            yield from self._chunks(event)
        choices = self._reader.choices
        if not choices or not all(choice.finish_reason for choice in choices.values()):
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")
        envelope = self._reader.envelope({})
        for number, choice in sorted(choices.items()):
            yield envelope.wrap(self._kind, [self._last(number, choice)])
        usage = self._reader.total_usage(self._prompt_length)
        yield {**envelope.wrap(self._kind, []), "usage": usage}
        self.ended = True

    def _chunks(self, event: bytes) -> Iterator[JsonObject]:
        response = parse_object(self._provider, event)
        envelope = self._reader.envelope(response)
        for number, delta in self._reader.read(response):
            if choice := self._piece(number, delta):
                yield envelope.wrap(self._kind, [choice])

    def _piece(self, number: int, delta: Delta) -> JsonObject | None:
        fields = delta.fields()
        for index, call in enumerate(delta.tool_calls):
            before = self._reader.choices[number].calls - len(delta.tool_calls)
            call["index"] = before + index
        if not (fields or delta.text or delta.logprobs):
            return None
        logprobs = build_logprobs(self._task, delta.logprobs)
        if self._task is not Task.CHAT:
            return {
                "index": number,
                "text": delta.text,
                "logprobs": logprobs,
                "finish_reason": None,
            }
        content: JsonObject = {"content": delta.text} if delta.text else {}
        return {
            "index": number,
            "delta": {"role": "assistant", **content, **fields},
            "logprobs": logprobs,
            "finish_reason": None,
        }

    def _last(self, number: int, choice: Choice) -> JsonObject:
        last: JsonObject = {"index": number, "finish_reason": choice.finish_reason}
        if self._task is Task.CHAT:
            last["delta"] = {"refusal": choice.refusal} if choice.refusal else {}
        else:
            last["text"] = ""
        last["logprobs"] = None
        return last | _native(choice)


def build_choices(reader: GeminiReader, response: JsonObject, task: Task) -> list[JsonObject]:
    """Return the choices of a whole answer.

    Raises:
        AdapterError: It has none, or one broke off.
    """
    deltas = dict(reader.read(response))
    result = []
    for number, choice in sorted(reader.choices.items()):
        delta = deltas.get(number, Delta())
        printed: JsonObject = {"index": number}
        if task is Task.CHAT:
            content = delta.text or (None if delta.tool_calls or choice.refusal else "")
            refusal: JsonObject = {"refusal": choice.refusal} if choice.refusal else {}
            printed["message"] = {
                "role": "assistant",
                "content": content,
                **delta.fields(),
                **refusal,
            }
        else:
            printed["text"] = delta.text
        printed["logprobs"] = build_logprobs(task, delta.logprobs)
        printed["finish_reason"] = choice.finish_reason or "stop"
        result.append(printed | _native(choice))
    return result


def _native(choice: Choice) -> JsonObject:
    return {"provider_finish_reason": choice.raw_reason} if choice.raw_reason else {}
