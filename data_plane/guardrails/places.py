"""Where in a canonical request or answer the texts are that a person or a model wrote; pure.

There is one such form for every protocol, and this is the only place that knows it. Everything is
text that is not known to be something else, so that no field is forgotten: names, identifiers and
signatures are not, nor are the tools that a program declares, nor what is encoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.types import JsonObject

# What of a request nobody wrote for the model to read: who asks, and what a program declares.
_SETTINGS = frozenset(
    {
        "client_request_id",
        "function_call",
        "functions",
        "logit_bias",
        "metadata",
        "model",
        "prompt_cache_key",
        "response_format",
        "safety_identifier",
        "stop",
        "tool_choice",
        "tools",
        "usage_context",
        "user",
    }
)
# What an answer or a chunk has beside texts.
_FRAME = frozenset(
    {"id", "object", "created", "model", "usage", "system_fingerprint", "service_tier"}
)
# Fields that hold no text: names, marks, and what is encoded.
_NO_TEXT = frozenset(
    {
        "cache_control",
        "call_id",
        "detail",
        "encrypted_content",
        "extra_content",
        "finish_reason",
        "format",
        "id",
        "index",
        "logprobs",
        "media_type",
        "mime_type",
        "name",
        "provider_finish_reason",
        "role",
        "signature",
        "tool_call_id",
        "type",
    }
)
# What is encoded, or elsewhere.
_ENCODED = frozenset({"data", "file_data", "image_url", "video_url"})
# What makes a part one that cannot be read: images, sound, and files.
_OPAQUE = frozenset({"audio", "file", "image_url", "input_audio", "video_url"})
# What a model thinks before it says something.
_THOUGHTS = ("reasoning_content", "reasoning")
# The arguments of a call: an object of the model's own making, mostly as JSON text.
_ARGUMENTS = "arguments"


class _Reading(Enum):
    """What of a value counts as text."""

    # All but what is known to be none.
    KNOWN_FORM = auto()
    # All texts.
    TEXTS = auto()
    # All texts, the names of fields, and numbers.
    EVERYTHING = auto()


class _Step(NamedTuple):
    """A value to be looked at, or the name of a field."""

    holder: JsonObject | list[object]
    key: str | int
    reading: _Reading
    context: str = ""
    is_key: bool = False


@dataclass(slots=True)
class Place:
    """One text, and where it is.

    Attributes:
        holder: Object or list that holds it.
        key: Where in that.
        text: The text, or a number as one.
        context: Name of the field that a program gave it; empty: none.
        is_key: Whether it is the name of a field itself.
        is_json: Whether it may be JSON.
    """

    holder: JsonObject | list[object]
    key: str | int
    text: str
    context: str = ""
    is_key: bool = False
    is_json: bool = False

    def put(self, text: str) -> None:
        """Put another text in its place."""
        holder = self.holder
        if isinstance(holder, list):
            holder[int(self.key)] = text
        elif self.is_key:
            items = [(text if name == self.key else name, item) for name, item in holder.items()]
            holder.clear()
            holder.update(items)
        else:
            holder[str(self.key)] = text


def places_of_request(body: JsonObject) -> Iterator[Place]:
    """Yield the texts of a canonical request."""
    for name in list(body):
        if name not in _SETTINGS:
            yield from _walk(_Step(body, name, _Reading.KNOWN_FORM))


def places_of_answer(answer: JsonObject) -> Iterator[Place]:
    """Yield the texts of a canonical answer."""
    for name in list(answer):
        if name not in _FRAME:
            yield from _walk(_Step(answer, name, _Reading.KNOWN_FORM))


def places_of_arguments(value: JsonObject | list[object]) -> Iterator[Place]:
    """Yield all texts of an object, the names of its fields, and numbers."""
    yield from _walk(_Step([value], 0, _Reading.EVERYTHING))


def places_of_any(body: JsonObject) -> Iterator[Place]:
    """Yield all texts of a body in a form of its own, as models have it that are hosted here."""
    yield from _walk(_Step([body], 0, _Reading.TEXTS))


def runs_of(body: JsonObject) -> Iterator[Sequence[Place]]:
    """Yield the texts of a request or an answer that are read one after the other, as if one.

    Those are the thoughts of a message and what it says, and the parts of either.
    """
    messages = as_objects(body.get("messages"))
    messages += [as_object(choice.get("message")) for choice in as_objects(body.get("choices"))]
    for message in messages:
        run = list(_run_of(message))
        if len(run) > 1:
            yield run


def _run_of(message: JsonObject) -> Iterator[Place]:
    """Yield the texts of a message in the order in which they are read."""
    thoughts: list[tuple[JsonObject, str]] = [(message, name) for name in _THOUGHTS]
    thoughts += [(block, "thinking") for block in as_objects(message.get("thinking_blocks"))]
    for part in as_objects(message.get("content")):
        inner = (*as_objects(part.get("summary")), *as_objects(part.get("thinking")))
        thoughts += [(piece, "text") for piece in inner]
    said = [(message, "content")]
    said += [(part, "text") for part in as_objects(message.get("content"))]
    for holder, key in (*thoughts, *said):
        text = holder.get(key)
        if isinstance(text, str) and text:
            yield Place(holder, key, text)


def signed_thoughts(answer: JsonObject) -> list[tuple[JsonObject, object]]:
    """Return the blocks of thoughts of an answer that are signed, each with what it holds."""
    return [
        (block, block.get("thinking"))
        for choice in as_objects(answer.get("choices"))
        for block in as_objects(as_object(choice.get("message")).get("thinking_blocks"))
        if block.get("signature") and "thinking" in block
    ]


def count_opaque(body: JsonObject) -> int:
    """Return how many parts of a request cannot be read: images, sound, and files."""
    total = 0
    stack: list[object] = [value for name, value in body.items() if name not in _SETTINGS]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            found = _OPAQUE.intersection(value)
            total += bool(found)
            stack += [item for name, item in value.items() if name not in found]
        elif isinstance(value, list):
            stack += value
    return total


def has_tokens(body: JsonObject) -> bool:
    """Tell whether a request has tokens in place of text, which only its model can read."""
    return any(
        isinstance(value, list) and any(not isinstance(item, str | dict) for item in value)
        for value in (body.get("prompt"), body.get("input"))
    )


def _walk(first: _Step) -> Iterator[Place]:
    """Yield what is below a place."""
    stack = [first]
    while stack:
        step = stack.pop()
        holder, key, reading, context, is_key = step
        if is_key:
            yield Place(holder, key, str(key), is_key=True)
            continue
        value = holder[int(key)] if isinstance(holder, list) else holder[str(key)]
        if isinstance(value, str):
            if value:
                is_json = key == _ARGUMENTS and reading is _Reading.KNOWN_FORM
                yield Place(holder, key, value, context, is_json=is_json)
        elif isinstance(value, list):
            places = range(len(value) - 1, -1, -1)
            stack += (_Step(value, place, reading, context) for place in places)
        elif isinstance(value, dict):
            stack += _fields(value, reading)
        elif reading is _Reading.EVERYTHING and type(value) in (int, float):
            yield Place(holder, key, str(value), context)


def _fields(value: JsonObject, reading: _Reading) -> Iterator[_Step]:
    """Yield the fields of an object, the last one first; the names come after all of them."""
    if reading is _Reading.EVERYTHING:
        yield from (_Step(value, name, reading, is_key=True) for name in value)
    for name in reversed(value):
        if reading is not _Reading.KNOWN_FORM:
            yield _Step(value, name, reading, name)
        elif name == _ARGUMENTS and isinstance(value[name], dict):
            yield _Step(value, name, _Reading.EVERYTHING)
        elif name not in _NO_TEXT and name not in _ENCODED:
            yield _Step(value, name, reading)
