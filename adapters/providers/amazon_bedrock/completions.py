"""Completions at Bedrock, through InvokeModel in the format of each family.

| models                    | format                                               |
|---------------------------|------------------------------------------------------|
| Claude 2 and Instant      | Anthropic's legacy completions, with their prompt    |
| Claude 3 and later        | Anthropic's Messages, the prompt as one message      |
| Command                   | Cohere's generate                                    |
| J2                        | AI21's complete                                      |
| Titan Text, Llama         | their own, `text.py`                                 |
| others: Nova, Command R … | Converse, which every model that chats understands   |

`invoke.py` has what these formats share. Built by `provider.py`.
"""

from collections.abc import Iterator, Mapping, Sequence

from modelplane.adapters.providers.ai21labs.complete import build_complete_bodies, parse_completions
from modelplane.adapters.providers.amazon_bedrock.adapter import (
    Target,
)
from modelplane.adapters.providers.amazon_bedrock.chat import ChatAdapter
from modelplane.adapters.providers.amazon_bedrock.event_stream import (
    EventReader,
)
from modelplane.adapters.providers.amazon_bedrock.invoke import InvokeAdapter
from modelplane.adapters.providers.amazon_bedrock.text import TextFormat, TextReader, parse_texts
from modelplane.adapters.providers.anthropic.answers import MessagesStreamParser, parse_message
from modelplane.adapters.providers.anthropic.complete import (
    CompleteStreamParser,
    build_complete_body,
    parse_complete,
)
from modelplane.adapters.providers.anthropic.messages import (
    Dialect,
    MessagesBody,
    build_messages_body,
    tool_names,
)
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.parameters import Parameters, refuse_unsupported
from modelplane.adapters.providers.canonical.prompts import (
    PromptStreamParser,
    build_chat_query,
    to_completion,
    to_completion_chunk,
)
from modelplane.adapters.providers.cohere.generate import (
    GenerateStreamParser,
    build_generate_bodies,
    parse_generations,
)
from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.refusals import (
    COMMAND_RANGES,
    COMMAND_STOPS,
    LEGACY_CLAUDE_RANGES,
    claude_model,
)
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    JsonObject,
    Plan,
    Query,
    Usage,
)

_CLAUDE_VERSION = "bedrock-2023-05-31"
_NO_IMAGES: Mapping[str, Image] = {}
# Parameters that `metadata` is made of, in the order in which they count.
_METADATA_SOURCES = ("user", "safety_identifier")
# Parameters of Command that Cohere itself has and Bedrock does not.
_COHERE_ONLY: Mapping[str, Sequence[object]] = {
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
}


class ClaudeAdapter(InvokeAdapter):
    """Claude 3 and later."""

    __slots__ = ()

    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        provider = self._target.provider
        dialect = Dialect(
            provider,
            version=_CLAUDE_VERSION,
            betas_in_body=True,
            stream_in_body=False,
            takes=claude_model(self._target.model),
        )
        chat = build_chat_query(provider, query)
        return _without_metadata(query, build_messages_body(chat, dialect, _NO_IMAGES))

    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        (answer,) = answers
        names = tool_names(query)
        return to_completion(parse_message(self._target.provider, answer, names, self._created()))

    def _reader(self, query: Query) -> EventReader:
        names = tool_names(query)
        return _PromptReader(
            MessagesStreamParser(self._target.provider, names, self._created(), self._reported)
        )


class LegacyClaudeAdapter(InvokeAdapter):
    """Claude 2 and Claude Instant."""

    __slots__ = ()

    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        dialect = Dialect(self._target.provider, stream_in_body=False, ranges=LEGACY_CLAUDE_RANGES)
        return _without_metadata(query, build_complete_body(query, dialect))

    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        (answer,) = answers
        named = {"id": self._answer_id(), **answer}
        return parse_complete(self._target.provider, query, named, self._created())

    def _reader(self, query: Query) -> EventReader:
        return CompleteStreamParser(
            self._target.provider, query, self._created(), self._reported, self._answer_id()
        )


class CommandAdapter(InvokeAdapter):
    """Cohere's Command."""

    __slots__ = ()

    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        parameters = Parameters(self._target.provider, query)
        refuse_unsupported(self._target.provider, parameters.rest, _COHERE_ONLY)
        parameters.fit(COMMAND_RANGES)
        parameters.drop("seed")
        bodies = build_generate_bodies(parameters, stream=query.stream, stops=COMMAND_STOPS)
        return [_as_bedrock_has_it(body) for body in bodies], parameters.adapted

    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        prompts = self._prompts(query)
        return parse_generations(self._target.provider, prompts, answers, self._created())

    def _reader(self, query: Query) -> EventReader:
        prompt = self._prompts(query)[0]
        return GenerateStreamParser(self._target.provider, prompt, self._chunks(), self._reported)


class J2Adapter(InvokeAdapter):
    """AI21's J2."""

    __slots__ = ()

    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        parameters = Parameters(self._target.provider, query)
        return build_complete_bodies(parameters, stream=query.stream), parameters.adapted

    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        logprobs = query.body.get("logprobs")
        return parse_completions(
            self._target.provider,
            self._prompts(query),
            answers,
            self._created(),
            logprobs=logprobs is not None and logprobs is not False,
        )

    def _reader(self, query: Query) -> EventReader:
        del query
        raise refusal(self._target.provider, "J2 models cannot be streamed: leave out 'stream'.")


class TextAdapter(InvokeAdapter):
    """Titan Text and Llama."""

    __slots__ = ("_form",)

    def __init__(self, target: Target, form: TextFormat) -> None:
        super().__init__(target)
        self._form = form

    def _build(self, query: Query) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
        parameters = Parameters(self._target.provider, query)
        return self._form.build_bodies(parameters), parameters.adapted

    def _parse(self, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
        pieces = [self._form.read(answer) for answer in answers]
        return parse_texts(
            self._target.provider,
            self._prompts(query),
            pieces,
            self._answer_id(),
            self._created(),
        )

    def _reader(self, query: Query) -> EventReader:
        return TextReader(self._form, self._prompts(query)[0], self._chunks())


class PromptAdapter(ChatAdapter):
    """Models that only chat, through Converse."""

    __slots__ = ()

    def image_urls(self, query: Query) -> Sequence[str]:
        """Return none: a prompt is text; see `Adapter`."""
        del query
        return ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the request; see `Adapter`."""
        return super().plan(build_chat_query(self._target.provider, query), images)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        return to_completion(super().parse_answers(query, answers))

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return PromptStreamParser(super().stream_parser(query))


class _PromptReader:
    """Reads a chat's events as those of a completion."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    @property
    def ended(self) -> bool:
        return self._reader.ended

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        yield from filter(None, map(to_completion_chunk, self._reader.take(event)))


def _without_metadata(
    query: Query, built: MessagesBody
) -> tuple[Sequence[JsonObject], tuple[str, ...]]:
    """Return a body without what only Anthropic itself takes."""
    body = dict(built.body)
    if body.pop("metadata", None) is None:
        return [body], built.adapted
    source = next((name for name in _METADATA_SOURCES if query.body.get(name)), "metadata")
    return [body], (*built.adapted, f"{source}=dropped")


def _as_bedrock_has_it(body: JsonObject) -> JsonObject:
    """Return a body in Bedrock's words: its `stop_sequences` are left out of the text."""
    own = dict(body)
    if not own["stream"]:
        del own["stream"]
    if (stop := own.pop("end_sequences", None)) is not None:
        own.setdefault("stop_sequences", stop)
    return own
