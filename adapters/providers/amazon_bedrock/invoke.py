"""InvokeModel, whose body is in the format of the model's family: what completions share.

Usage comes from the body; else from headers, or a stream's invocation metrics; else it is
estimated. `completions.py` has the formats.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from uuid import uuid4

from modelplane.adapters.providers.amazon_bedrock.adapter import (
    BedrockAdapter,
    read_token_counts,
)
from modelplane.adapters.providers.amazon_bedrock.event_stream import (
    EventReader,
    EventStreamParser,
    read_model_event,
)
from modelplane.adapters.providers.anthropic.provider import classify_error, error_type
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import ChunkBuilder, build_usage
from modelplane.adapters.providers.canonical.json_values import as_object, parse_json_object
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.errors import AdapterError, ProviderFailed, refusal
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    JsonObject,
    Plan,
    Query,
    Usage,
    as_count,
)

_METRICS = "amazon-bedrock-invocationMetrics"


class InvokeAdapter(BedrockAdapter, ABC):
    """What completions through InvokeModel share. Subclasses know one format."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests, one for each prompt; see `Adapter`."""
        del images
        bodies, adapted = self._build(query)
        if query.stream and len(bodies) > 1:
            raise refusal(
                self._target.provider,
                "Several prompts cannot be streamed together: send them apart.",
            )
        operation = "invoke-with-response-stream" if query.stream else "invoke"
        return Plan(tuple(self._request(operation, body) for body in bodies), adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        bodies = [parse_json_object(self._target.provider, answer.body) for answer in answers]
        parsed = self._parse(query, bodies)
        return _with_counts(parsed, [read_token_counts(answer) for answer in answers])

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return _InvokeStreamParser(self._target.provider, self._reader(query))

    @abstractmethod
    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        """Return a body for each prompt, and what was adapted."""

    @abstractmethod
    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        """Return the canonical answer."""

    @abstractmethod
    def _reader(self, query: Query) -> EventReader:
        """Return a reader of one stream's events."""

    def _prompts(self, query: Query) -> list[str]:
        return Parameters(self._target.provider, query).take_texts("prompt")

    def _answer_id(self) -> str:
        return f"cmpl-{uuid4().hex}"

    def _chunks(self) -> ChunkBuilder:
        return ChunkBuilder(self._answer_id(), self._created(), "text_completion")

    def _reported(self, event: JsonObject) -> AdapterError:
        """Return the error that an event of the model's own is."""
        kind = error_type(event)
        cls = classify_error(kind) if kind else ProviderFailed
        return cls(self._target.provider, event)


class _InvokeStreamParser(EventStreamParser):
    """Unpacks the model's own events, and puts in usage that only Bedrock knows."""

    def __init__(self, provider: str, reader: EventReader) -> None:
        super().__init__(provider)
        self._reader = reader

    def take(self, kind: str, event: JsonObject) -> Iterator[JsonObject]:
        if kind != "chunk":
            return
        own = read_model_event(self._provider, event)
        metrics = as_object(own.pop(_METRICS, None))
        counts = as_count(metrics.get("inputTokenCount")), as_count(metrics.get("outputTokenCount"))
        if metrics:
            self.usage = Usage(*counts)
        for chunk in self._reader.take(own):
            yield _with_counts(chunk, [counts])
        self.usage = self._reader.usage or self.usage
        self.ended = self._reader.ended


def _with_counts(answer: JsonObject, counts: Sequence[tuple[int | None, int | None]]) -> JsonObject:
    """Return an answer or chunk with usage that was counted, where its own is an estimate."""
    usage = answer.get("usage")
    if not as_object(usage).get("estimated"):
        return answer
    prompt = [one for one, _ in counts if one is not None]
    completion = [one for _, one in counts if one is not None]
    if len(prompt) < len(counts) or len(completion) < len(counts):
        return answer
    return {**answer, "usage": build_usage(sum(prompt), sum(completion))}
