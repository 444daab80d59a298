"""Reads JSON whose writer is a provider: what has another type counts as absent."""

import re

import orjson

from modelplane.adapters.providers.types import JsonObject

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
        ValueError: It is no JSON all the same.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.removeprefix(_MARK).decode(errors="replace")
        return orjson.loads(_ESCAPE.sub(_mend, text))


def _mend(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["lone"] else escape[0]


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
