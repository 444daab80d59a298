"""What a provider's error says to a person, and how it names itself: pure.

Providers nest the same few members in different ways. Used where an error leaves the data plane.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelplane.adapters.providers.types import NestedTooDeeply

# Members that hold the text, or the object with the text.
_TEXTS = ("message", "error", "detail", "Message")
# Deeper than any provider nests.
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What an error says.

    Attributes:
        message: Its text.
        code: Code that the provider gave it; empty: none.
        param: Parameter that it is about; empty: none is named.
    """

    message: str
    code: str = ""
    param: str = ""


def read_error(detail: object) -> ErrorText:
    """Return what an error says, which is JSON of some provider, or text."""
    found = detail
    for _ in range(_MAX_DEPTH):
        if isinstance(found, list) and found:
            found = found[0]
        if not isinstance(found, Mapping):
            break
        inner = next((found[name] for name in _TEXTS if found.get(name)), None)
        if isinstance(inner, str):
            named = (_text(found, name) for name in ("code", "param"))
            return ErrorText(inner, *named)
        found = inner
    return ErrorText(found if isinstance(found, str) and found else _encode(detail))


def _text(error: Mapping[str, Any], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""


def _encode(detail: object) -> str:
    try:
        return orjson.dumps(detail).decode()
    except NestedTooDeeply:
        return "the provider's error is nested too deeply"
