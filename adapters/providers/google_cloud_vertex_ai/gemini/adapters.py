"""Gemini on Vertex AI for chats, and for completions as a chat with one message.

Built by `provider.py`; `request.py` builds the requests and `answers.py` the answers.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.base import Passage
from modelplane.adapters.providers.canonical.answers import (
    build_chat_answer,
    build_completion_answer,
)
from modelplane.adapters.providers.canonical.messages import read_image_urls
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import Target, VertexAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_object
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.answers import (
    GeminiStreamParser,
    build_choices,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.contents import is_fetched
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.counts import (
    measure_messages,
    sum_usages,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.passage import (
    PROTOCOLS,
    GeminiPassage,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.reader import GeminiReader
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.request import (
    GeminiRequest,
    build_gemini_request,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.tools import tool_names
from modelplane.adapters.providers.types import (
    HttpAnswer,
    HttpRequest,
    Image,
    JsonObject,
    Plan,
    Query,
    Task,
)


class _GeminiAdapter(VertexAdapter):
    """What chats and completions share."""

    __slots__ = ()

    def _build(self, query: Query, images: Mapping[str, Image]) -> GeminiRequest:
        return build_gemini_request(self._target.provider, self._target.model, query, images)

    def _request(self, body: JsonObject, *, stream: bool) -> HttpRequest:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return self.build_request(verb, body)

    def _read(
        self, query: Query, answer: HttpAnswer, task: Task
    ) -> tuple[GeminiReader, JsonObject, list[JsonObject]]:
        provider = self._target.provider
        response = parse_object(provider, answer.body)
        reader = self._reader(query)
        choices = build_choices(reader, response, task)
        if not choices:
            raise MalformedAnswer(provider, "the provider answered without candidates")
        return reader, response, choices

    def _reader(self, query: Query) -> GeminiReader:
        return GeminiReader(self._target.provider, tool_names(query), self._target.clock)


class GeminiChatAdapter(_GeminiAdapter):
    """Translates chats."""

    __slots__ = ("_passage",)

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._passage = GeminiPassage(target, self.build_request)

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of the Gemini API pass; see `Adapter`."""
        return self._passage if protocol in PROTOCOLS else None

    def image_urls(self, query: Query) -> Sequence[str]:
        """Return the URLs of images that are to be sent inline; see `Adapter`."""
        urls = read_image_urls(self._target.provider, query.body)
        return [url for url in urls if is_fetched(url)]

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the request; see `Adapter`."""
        built = self._build(query, images)
        return Plan((self._request(built.body, stream=query.stream),), built.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        reader, response, choices = self._read(query, answers[0], Task.CHAT)
        envelope = reader.envelope(response)
        usage = reader.total_usage(measure_messages(query))
        return build_chat_answer(envelope.id, envelope.created, choices, usage)

    def stream_parser(self, query: Query) -> GeminiStreamParser:
        """Return a parser for one streamed answer."""
        provider = self._target.provider
        reader = self._reader(query)
        return GeminiStreamParser(provider, Task.CHAT, reader, measure_messages(query))


class GeminiCompletionAdapter(_GeminiAdapter):
    """Translates completions; each prompt is a request of its own."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests; see `Adapter`."""
        prompts = self._prompts(query)
        if query.stream and len(prompts) > 1:
            raise self.refusal("'prompt' must be a single text when 'stream' is true")
        rest = {name: value for name, value in query.body.items() if name != "prompt"}
        built = [
            self._build(Query({**rest, "messages": [_user(text)]}, query.stream), images)
            for text in prompts
        ]
        requests = tuple(self._request(one.body, stream=query.stream) for one in built)
        return Plan(requests, built[0].adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answers to all prompts, numbered through; see `Adapter`."""
        read = [self._read(query, answer, Task.COMPLETIONS) for answer in answers]
        choices: list[JsonObject] = []
        usages = []
        for prompt, (reader, _, own) in zip(self._prompts(query), read, strict=True):
            start = len(choices)
            choices.extend({**choice, "index": start + at} for at, choice in enumerate(own))
            usages.append(reader.total_usage(len(prompt)))
        reader, response, _ = read[0]
        envelope = reader.envelope(response)
        return build_completion_answer(envelope.id, envelope.created, choices, sum_usages(usages))

    def stream_parser(self, query: Query) -> GeminiStreamParser:
        """Return a parser for one streamed answer."""
        provider = self._target.provider
        reader = self._reader(query)
        length = sum(map(len, self._prompts(query)))
        return GeminiStreamParser(provider, Task.COMPLETIONS, reader, length)

    def _prompts(self, query: Query) -> list[str]:
        return Parameters(self._target.provider, query).take_texts("prompt")


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}
