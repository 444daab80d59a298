"""Anthropic's legacy text completions, for every service that has them: bodies, answers, streams.

API: https://docs.anthropic.com/en/api/complete. Only Claude 2 and older models have it. The prompt
is written as a conversation, unless the caller did so; one prompt is answered once. It reports no
usage, so that is estimated.

Used by `provider.py`.
"""

import re
from collections.abc import Iterator

from modelplane.adapters.providers.anthropic.answers import ReportedError
from modelplane.adapters.providers.anthropic.messages import Dialect, MessagesBody
from modelplane.adapters.providers.anthropic.parameters import (
    UNSUPPORTED,
    drop_harmless,
    take_max_tokens,
    translate_sampling,
)
from modelplane.adapters.providers.canonical.answers import (
    ChunkBuilder,
    build_completion_answer,
    build_completion_choice,
    build_usage,
    estimate_tokens,
)
from modelplane.adapters.providers.canonical.json_values import as_text
from modelplane.adapters.providers.canonical.parameters import (
    Parameters,
    read_prompt,
    refuse_unsupported,
)
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import JsonObject, Query, tokens_of

# This list is closed: later models only chat.
_LEGACY = re.compile(r"claude-(?:instant|v?[12](?:[-.:]|$))")
_HUMAN = "\n\nHuman:"
_ASSISTANT = "\n\nAssistant:"
_UNSUPPORTED = {
    **UNSUPPORTED,
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (),
    "top_logprobs": (0,),
}
_FINISH_REASONS = {"stop_sequence": "stop", "max_tokens": "length"}


def is_legacy(model: str) -> bool:
    """Return whether a model completes texts by the legacy API."""
    return _LEGACY.match(model) is not None


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
    parameters.fit(dialect.ranges)
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
    choice = build_completion_choice(text, _finish_reason(reason)) | _more(reason)
    usage = _estimate_usage(provider, query, len(text))
    return build_completion_answer(as_text(answer.get("id")), created, [choice], usage)


class CompleteStreamParser(SseStreamParser):
    """Parses one streamed completion, from bytes or from events that are framed already."""

    def __init__(
        self,
        provider: str,
        query: Query,
        created: int,
        reported: ReportedError,
        answer_id: str = "",
    ) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            query: The query, whose prompt is counted.
            created: Seconds since the epoch.
            reported: Returns the error that an event reports.
            answer_id: Id of the answer, for events that have none.
        """
        super().__init__(provider)
        self._query = query
        self._created = created
        self._reported = reported
        self._answer_id = answer_id
        # Characters so far.
        self._said = 0

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; see `SseStreamParser`."""
        if "error" in event:
            raise self._reported(event)
        text = event.get("completion")
        if self.ended or not isinstance(text, str):
            return
        answer_id = as_text(event.get("id")) or self._answer_id
        chunks = ChunkBuilder(answer_id, self._created, "text_completion")
        reason = event.get("stop_reason")
        self._said += len(text)
        if reason is None:
            yield chunks.text(text)
        else:
            self.ended = True
            yield chunks.text(text, _finish_reason(reason), more=_more(reason))
            yield chunks.usage(_estimate_usage(self._provider, self._query, self._said))


def _finish_reason(reason: object) -> str:
    return _FINISH_REASONS.get(str(reason), "stop")


def _more(reason: object) -> JsonObject:
    return {} if str(reason) in _FINISH_REASONS else {"provider_finish_reason": reason}


def _estimate_usage(provider: str, query: Query, said: int) -> JsonObject:
    prompt = estimate_tokens(read_prompt(provider, query.body))
    return build_usage(prompt, tokens_of(said), estimated=True)
