"""Reads answers that come in another form than was asked for, as servers and proxies have it.

A stream of events may answer a query for a whole answer, a whole answer one for a stream, and
either under the other's media type: how the body begins decides. Works on canonical answers and
chunks, so that it is the same for every provider.

Called by `data_plane/upstreams/relay.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from modelplane.adapters.providers.base import Adapter, StreamParser
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    NoAnswer,
    ProviderFailed,
    RequestRefused,
)
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query, Usage, parse_usage

_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
# Of a stream that came instead of a whole answer: nothing else runs while it is added up.
_MAX_EVENTS_BYTES = 4 * 1024 * 1024
_CHUNK, _WHOLE = "chat.completion.chunk", "chat.completion"
# Of a message and a delta: what is not added up but replaced.
_REPLACED = frozenset({"role", "extra_content", "audio"})


def parse_answers(
    adapter: Adapter, query: Query, answers: Sequence[HttpAnswer], provider: str
) -> JsonObject:
    """Return the canonical answer in the successful responses to a plan's requests.

    Args:
        adapter: Reads them.
        query: The query.
        answers: The responses.
        provider: Name that errors carry.

    Raises:
        AdapterError: They are no answer.
    """
    body = answers[0].body.lstrip()
    if body[:1] == b"<":
        raise page_error(provider)
    try:
        if len(answers) > 1 or not body.startswith(_EVENTS):
            return adapter.parse_answers(query, answers)
        return _parse_events(adapter, query, answers[0], provider)
    except AdapterError as error:
        error.conceal(secret for answer in answers for secret in answer.secrets)
        raise


def parse_error(adapter: Adapter, answer: HttpAnswer) -> AdapterError:
    """Return the error in a failed response, without the secrets of its request."""
    return adapter.parse_error(answer).conceal(answer.secrets)


def choose_parser(
    adapter: Adapter, query: Query, parser: StreamParser, beginning: bytes, provider: str
) -> StreamParser:
    """Return what parses a stream that begins so: its own parser, unless it is a whole answer.

    Raises:
        ProviderFailed: It is a page.
    """
    if beginning == b"<":
        raise page_error(provider)
    if beginning in (b"{", b"[") and not adapter.streams_lines:
        return WholeAnswerParser(adapter, query, provider)
    return parser


def page_error(provider: str) -> ProviderFailed:
    """Return the error that a page is: of what stands before the provider, whatever was asked."""
    return ProviderFailed(provider, "a page was answered instead of JSON")


class WholeAnswerParser:
    """Parses a whole answer as the stream that was asked for; see `StreamParser`."""

    def __init__(self, adapter: Adapter, query: Query, provider: str) -> None:
        """Start before the first byte.

        Args:
            adapter: Reads the answer.
            query: The query.
            provider: Name that errors carry.
        """
        self.ended = False
        self.usage: Usage | None = None
        self._adapter = adapter
        self._query = query
        self._provider = provider
        self._body = bytearray()

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Keep what has come; there are no chunks before the end."""
        self._body += data
        if len(self._body) > MAX_BODY_BYTES:
            raise MalformedAnswer(self._provider, "the provider's answer is too large")
        yield from ()

    def finish(self) -> Iterator[JsonObject]:
        """Yield the answer as chunks."""
        answers = (HttpAnswer(200, {}, bytes(self._body)),)
        answer = self._adapter.parse_answers(self._query, answers)
        if not isinstance(answer.get("choices"), list):
            raise NoAnswer(self._provider, "the server's answer has no 'choices'")
        self.usage = parse_usage(answer)
        self.ended = True
        yield from cut_up(answer)


def cut_up(answer: JsonObject) -> Iterator[JsonObject]:
    """Yield a whole answer as chunks: one for each choice, and one for the usage."""
    shared = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    if shared.get("object") == _WHOLE:
        shared["object"] = _CHUNK
    for choice in as_objects(answer.get("choices")):
        part = {name: value for name, value in choice.items() if name != "message"}
        if isinstance(message := choice.get("message"), dict):
            part["delta"] = {name: _number(name, value) for name, value in message.items()}
        yield {**shared, "choices": [part]}
    if answer.get("usage"):
        yield {**shared, "choices": [], "usage": answer["usage"]}


def add_up(provider: str, chunks: Iterable[JsonObject]) -> JsonObject:
    """Return the whole answer that chunks add up to, which become part of it.

    Raises:
        MalformedAnswer: They are no answer.
    """
    answer: JsonObject = {}
    choices: dict[int, JsonObject] = {}
    for chunk in chunks:
        for name, value in chunk.items():
            if name != "choices" and value is not None:
                answer[name] = value
        for part in as_objects(chunk.get("choices")):
            index = part.get("index", 0)
            key = index if isinstance(index, int) else 0
            _add_choice(choices.setdefault(key, {}), part)
    if not choices:
        raise MalformedAnswer(provider, "the provider's stream has no choices")
    if answer.get("object") == _CHUNK:
        answer["object"] = _WHOLE
    return {**answer, "choices": [_finish_choice(choices[key]) for key in sorted(choices)]}


def _parse_events(adapter: Adapter, query: Query, answer: HttpAnswer, provider: str) -> JsonObject:
    if len(answer.body) > _MAX_EVENTS_BYTES:
        raise MalformedAnswer(provider, "the provider answered with a stream that is too long")
    try:
        parser = adapter.stream_parser(query)
    except RequestRefused:
        raise MalformedAnswer(provider, "the provider's answer is not JSON") from None
    return add_up(provider, chain(parser.feed(answer.body), parser.finish()))


class _Text:
    """A text that grows; to add to a `str` would copy all of it for each piece."""

    __slots__ = ("parts",)

    def __init__(self, *parts: str) -> None:
        self.parts = [*parts]


def _add_choice(choice: JsonObject, part: JsonObject) -> None:
    for name, value in part.items():
        if name == "delta":
            message = choice.setdefault("message", {"role": "assistant", "content": None})
            _add_fields(as_object(message), as_object(value))
        elif name == "text":
            _add_text(choice, name, value if isinstance(value, str) else "")
        elif name == "logprobs":
            choice["logprobs"] = _add_logprobs(choice.get("logprobs"), value)
        elif value is not None or name not in choice:
            choice[name] = value


def _add_fields(message: JsonObject, delta: JsonObject) -> None:
    for name, value in delta.items():
        known = message.get(name)
        if value is None:
            continue
        if name == "tool_calls":
            if not isinstance(known, list):
                message[name] = known = []
            _add_calls(known, as_objects(value))
        elif isinstance(value, list):
            plain = [_without_index(item) for item in value]
            if isinstance(known, list):
                known += plain
            else:
                message[name] = plain
        elif isinstance(value, str) and name not in _REPLACED:
            _add_text(message, name, value)
        else:
            message[name] = value


def _add_text(holder: JsonObject, name: str, text: str) -> None:
    known = holder.get(name)
    if isinstance(known, _Text):
        known.parts.append(text)
    else:
        holder[name] = _Text(known, text) if isinstance(known, str) else _Text(text)


def _add_calls(calls: list[JsonObject], deltas: list[JsonObject]) -> None:
    for delta in deltas:
        index = delta.get("index")
        place = index if isinstance(index, int) and 0 <= index < len(calls) else len(calls)
        if place == len(calls):
            calls.append({"type": "function", "function": {"arguments": ""}})
        known = calls[place]
        for name, value in delta.items():
            if name == "function":
                _add_fields(as_object(known["function"]), as_object(value))
            elif name != "index" and value and (name not in known or name == "type"):
                known[name] = value


def _add_logprobs(known: object, value: object) -> object:
    if not isinstance(value, dict):
        return known
    sums = known if isinstance(known, dict) else {}
    content = sums.get("content")
    content = content if isinstance(content, list) else []
    content += as_objects(value.get("content"))
    sums.update(value)
    if content:
        sums["content"] = content
    return sums


def _finish_choice(choice: JsonObject) -> JsonObject:
    """Return a choice with all its texts whole."""
    message = as_object(choice.get("message"))
    calls = as_objects(message.get("tool_calls"))
    for holder in (choice, message, *(as_object(call["function"]) for call in calls)):
        for name, value in holder.items():
            if isinstance(value, _Text):
                holder[name] = "".join(value.parts)
    return choice


def _number(name: str, value: object) -> object:
    """Return a field of a message as one of a delta, in which calls and thoughts have numbers."""
    if name not in ("tool_calls", "thinking_blocks") or not isinstance(value, list):
        return value
    return [
        {"index": at, **item} if isinstance(item, dict) else item for at, item in enumerate(value)
    ]


def _without_index(item: object) -> object:
    if not isinstance(item, dict):
        return item
    return {name: value for name, value in item.items() if name != "index"}
