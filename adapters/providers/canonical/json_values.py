"""Reads JSON whose writer is a provider: what has another type counts as absent."""

import re

import orjson

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, NestedTooDeeply

# Objects and lists that an answer may have: to parse more takes long, and nothing else runs
# meanwhile. Numbers are not counted: embeddings have very many.
MAX_CONTAINERS = 500_000
_LARGE_BYTES = 128 * 1024
_MARK = b"\xef\xbb\xbf"
# An escape: a pair of surrogates, one alone, or any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def load_json(data: bytes) -> object:
    """Return the value of JSON that a provider sent.

    What is no text in it, such as half of a surrogate pair where an answer was cut, is replaced by
    U+FFFD, as most clients read it.

    Raises:
        ValueError: It is no JSON all the same, or has too many objects and lists.
    """
    if len(data) > _LARGE_BYTES and len(data) - len(data.translate(None, b"[{")) > MAX_CONTAINERS:
        raise ValueError("too many objects and lists")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.removeprefix(_MARK).decode(errors="replace")
        return orjson.loads(_ESCAPE.sub(_mend, text))


def _mend(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["lone"] else escape[0]


def parse_json_object(provider: str, data: bytes) -> JsonObject:
    """Return the JSON object that a provider sent.

    Raises:
        MalformedAnswer: It is none.
    """
    try:
        value = load_json(data)
    except ValueError as error:
        raise MalformedAnswer(provider, "the provider's answer is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedAnswer(provider, "the provider's answer is not a JSON object")
    return value


def dump_arguments(provider: str, arguments: object) -> str:
    """Return the arguments of a tool call, which a provider sent as JSON, as text.

    Raises:
        MalformedAnswer: They cannot be encoded.
    """
    try:
        return orjson.dumps(arguments or {}).decode()
    except NestedTooDeeply as error:
        raise MalformedAnswer(provider, "a tool's arguments are nested too deeply") from error


def parse_error_detail(answer: HttpAnswer) -> object:
    """Return what a failed response says, JSON or text."""
    text = answer.body.decode(errors="replace")
    try:
        detail: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        detail = text.strip()
    return detail or f"HTTP status {answer.status} with an empty body"


def as_object(value: object) -> JsonObject:
    """Return an object, empty where there is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[JsonObject]:
    """Return the objects of a list, none where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a text, empty where there is none."""
    return value if isinstance(value, str) else ""


def as_texts(value: object) -> list[str]:
    """Return the texts of a list, none where there is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
