"""Anthropic's legacy text completions, for every service that has them: bodies, answers, streams.

API: https://docs.anthropic.com/en/api/complete. The prompt is written as a conversation, unless
the caller did so; one prompt is answered once. It reports no usage, so that is estimated.

Used by `provider.py`.
"""

from collections.abc import Iterator

from adapters.providers.anthropic.answers import ReportedError
from adapters.providers.anthropic.messages import Dialect, MessagesBody
from adapters.providers.anthropic.parameters import (
    UNSUPPORTED,
    drop_harmless,
    take_max_tokens,
    translate_sampling,
)
from adapters.providers.canonical import read_prompt, refuse_unsupported
from adapters.providers.canonical_answers import (
    ChunkBuilder,
    build_completion_answer,
    build_completion_choice,
    build_usage,
    estimate_tokens,
    parse_json_object,
)
from adapters.providers.errors import MalformedAnswer, StreamTruncated
from adapters.providers.parameters import Parameters
from adapters.providers.sse import SseParser
from adapters.providers.types import JsonObject, Query

_HUMAN = "\n\nHuman:"
_ASSISTANT = "\n\nAssistant:"
_UNSUPPORTED = {
    **UNSUPPORTED,
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (),
}
_FINISH_REASONS = {"stop_sequence": "stop", "max_tokens": "length"}


def build_complete_body(query: Query, dialect: Dialect) -> MessagesBody:
    """Return the body that puts a completion to a legacy Claude.

    Raises:
        RequestRefused: The query cannot be put to it.
    """
    parameters = Parameters(dialect.provider, query)
    prompt = read_prompt(dialect.provider, query.body)
    parameters.take("prompt")
    refuse_unsupported(dialect.provider, parameters.rest, _UNSUPPORTED)
    body: JsonObject = {} if dialect.model is None else {"model": dialect.model}
    if dialect.version is not None:
        body["anthropic_version"] = dialect.version
    body["prompt"] = write_prompt(prompt)
    body["max_tokens_to_sample"] = take_max_tokens(parameters)
    translate_sampling(parameters, body)
    drop_harmless(parameters)
    if query.stream and dialect.stream_in_body:
        body["stream"] = True
    return MessagesBody(body | parameters.rest, parameters.adapted)


def write_prompt(prompt: str) -> str:
    """Return a prompt as the conversation that the API demands."""
    return prompt if _HUMAN in prompt else f"{_HUMAN} {prompt}{_ASSISTANT}"


def parse_complete(provider: str, query: Query, answer: JsonObject, created: int) -> JsonObject:
    """Return the canonical completion in a whole answer.

    Raises:
        MalformedAnswer: It is none.
    """
    text, reason = answer.get("completion"), answer.get("stop_reason")
    if not isinstance(text, str) or not isinstance(reason, str):
        raise MalformedAnswer(provider, "the provider's answer is no completion")
    choice = build_completion_choice(text, _finish_reason(reason))
    usage = _estimate_usage(provider, query, text)
    return build_completion_answer(str(answer.get("id", "")), created, [choice], usage)


class CompleteStreamParser:
    """Parses one streamed completion, from bytes or from events that are framed already."""

    def __init__(self, provider: str, query: Query, created: int, reported: ReportedError) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            query: The query, whose prompt is counted.
            created: Seconds since the epoch.
            reported: Returns the error that an event reports.
        """
        self.ended = False
        self._provider = provider
        self._query = query
        self._created = created
        self._reported = reported
        self._sse = SseParser()
        self._texts: list[str] = []

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        try:
            for event in self._sse.feed(data):
                if self.ended:
                    return
                yield from self.take(parse_json_object(self._provider, event))
        except ValueError as error:
            raise MalformedAnswer(self._provider, str(error)) from error

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        if self.ended:
            return
        for event in self._sse.finish():
            yield from self.take(parse_json_object(self._provider, event))
        if not self.ended:
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives.

        Raises:
            AdapterError: The event reports an error.
        """
        if "error" in event:
            raise self._reported(event)
        text = event.get("completion")
        if self.ended or not isinstance(text, str):
            return
        chunks = ChunkBuilder(str(event.get("id", "")), self._created, "text_completion")
        reason = event.get("stop_reason")
        self._texts.append(text)
        yield chunks.text(text, None if reason is None else _finish_reason(reason))
        if reason is not None:
            self.ended = True
            yield chunks.usage(_estimate_usage(self._provider, self._query, "".join(self._texts)))


def _finish_reason(reason: object) -> str:
    return _FINISH_REASONS.get(str(reason), "stop")


def _estimate_usage(provider: str, query: Query, text: str) -> JsonObject:
    prompt = estimate_tokens(read_prompt(provider, query.body))
    return build_usage(prompt, estimate_tokens(text), estimated=True)
