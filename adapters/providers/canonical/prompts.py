"""Completions with models that only chat: the prompt is one message, the answer's text one choice.

Used by the adapters of `anthropic` and `amazon_bedrock`.
"""

from collections.abc import Iterator, Mapping, Sequence

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import build_completion_choice
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.parameters import read_prompt, refuse_unsupported
from modelplane.adapters.providers.types import JsonObject, Query, Usage

_UNSUPPORTED: Mapping[str, Sequence[object]] = {
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "logprobs": (False,),
    "tools": ([],),
}


class PromptStreamParser:
    """Parses a streamed chat as a completion; see `StreamParser`."""

    def __init__(self, parser: StreamParser) -> None:
        """Parse with the chat's own parser."""
        self._parser = parser

    @property
    def ended(self) -> bool:
        """Whether the provider has marked the end of the answer."""
        return self._parser.ended

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        return self._parser.usage

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        yield from filter(None, map(to_completion_chunk, self._parser.feed(data)))

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        yield from filter(None, map(to_completion_chunk, self._parser.finish()))


def build_chat_query(provider: str, query: Query) -> Query:
    """Return the chat that puts a completion's prompt.

    Raises:
        RequestRefused: It asks for what only a completion has.
    """
    body = dict(query.body)
    prompt = read_prompt(provider, body)
    body.pop("prompt", None)
    refuse_unsupported(provider, body, _UNSUPPORTED)
    body["messages"] = [{"role": "user", "content": prompt}]
    return Query(body, query.stream)


def to_completion(answer: JsonObject) -> JsonObject:
    """Return a chat's answer as that of a completion."""
    choices = []
    for choice in as_objects(answer.get("choices")):
        message = as_object(choice.pop("message", None))
        choices.append(_choice(as_text(message.get("content")), choice))
    return {**answer, "object": "text_completion", "choices": choices}


def to_completion_chunk(chunk: JsonObject) -> JsonObject | None:
    """Return a chat's chunk as that of a completion; None where it says nothing there."""
    choices = []
    for choice in as_objects(chunk.get("choices")):
        delta = as_object(choice.pop("delta", None))
        text = as_text(delta.get("content"))
        if text or choice.get("finish_reason"):
            choices.append(_choice(text, choice))
    if not choices and "usage" not in chunk:
        return None
    return {**chunk, "object": "text_completion", "choices": choices}


def _choice(text: str, choice: JsonObject) -> JsonObject:
    return build_completion_choice(text, None) | choice
