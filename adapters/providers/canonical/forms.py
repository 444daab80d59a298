"""Reads answers that come in another form than was asked for, as servers and proxies have it.

A stream of events may answer a query for a whole answer, a whole answer one for a stream, and
either under the other's media type: how the body begins decides. Works on canonical answers and
chunks, so that it is the same for every provider.

Called by `data_plane/upstreams/relay.py`.
"""

from collections.abc import Iterable, Iterator, Sequence

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
    """Return the whole answer that chunks add up to.

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
            choices[key] = _add_choice(choices.get(key, {}), part)
    if not choices:
        raise MalformedAnswer(provider, "the provider's stream has no choices")
    if answer.get("object") == _CHUNK:
        answer["object"] = _WHOLE
    return {**answer, "choices": [choices[key] for key in sorted(choices)]}


def _parse_events(adapter: Adapter, query: Query, answer: HttpAnswer, provider: str) -> JsonObject:
    try:
        parser = adapter.stream_parser(query)
    except RequestRefused:
        raise MalformedAnswer(provider, "the provider's answer is not JSON") from None
    return add_up(provider, (*parser.feed(answer.body), *parser.finish()))


def _add_choice(choice: JsonObject, part: JsonObject) -> JsonObject:
    added = {**choice}
    for name, value in part.items():
        if name == "delta":
            message = as_object(added.setdefault("message", {"role": "assistant", "content": None}))
            added["message"] = _add_fields(message, as_object(value))
        elif name == "text":
            added["text"] = f"{added.get('text', '')}{value or ''}"
        elif name == "logprobs":
            added["logprobs"] = _add_logprobs(added.get("logprobs"), value)
        elif value is not None or name not in added:
            added[name] = value
    return added


def _add_fields(message: JsonObject, delta: JsonObject) -> JsonObject:
    added = {**message}
    for name, value in delta.items():
        known = added.get(name)
        if value is None:
            continue
        if name == "tool_calls":
            added[name] = _add_calls(as_objects(known), as_objects(value))
        elif isinstance(value, list):
            plain = [_without_index(item) for item in value]
            added[name] = [*(known if isinstance(known, list) else []), *plain]
        elif isinstance(value, str) and isinstance(known, str) and name not in _REPLACED:
            added[name] = known + value
        else:
            added[name] = value
    return added


def _add_calls(calls: list[JsonObject], deltas: list[JsonObject]) -> list[JsonObject]:
    added = [*calls]
    for delta in deltas:
        index = delta.get("index")
        place = index if isinstance(index, int) and 0 <= index < len(added) else len(added)
        fields = {name: value for name, value in delta.items() if name not in ("index", "function")}
        function = as_object(delta.get("function"))
        if place == len(added):
            added.append({"type": "function", **fields, "function": {"arguments": "", **function}})
            continue
        known = added[place]
        own = {name: value for name, value in fields.items() if value and name not in known}
        added[place] = {
            **known,
            **own,
            "function": _add_fields(as_object(known["function"]), function),
        }
    return added


def _add_logprobs(known: object, value: object) -> object:
    if not isinstance(value, dict):
        return known
    before = as_object(known)
    content = [*as_objects(before.get("content")), *as_objects(value.get("content"))]
    return {**before, **value, **({"content": content} if content else {})}


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
