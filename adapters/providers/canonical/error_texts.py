"""What a provider's error says to a person: pure.

Providers nest the same few members in different ways. Used where an error leaves the data plane.
"""

from collections.abc import Mapping

import orjson

from modelplane.adapters.providers.types import NestedTooDeeply

# Members that hold the text, or the object with the text.
_TEXTS = ("message", "error", "detail", "Message")
# Deeper than any provider nests.
_MAX_DEPTH = 4


def read_error(detail: object) -> str:
    """Return the text of an error, which is JSON of some provider, or text."""
    found = detail
    for _ in range(_MAX_DEPTH):
        if isinstance(found, list) and found:
            found = found[0]
        if not isinstance(found, Mapping):
            break
        found = next((found[name] for name in _TEXTS if found.get(name)), None)
    return found if isinstance(found, str) and found else _encode(detail)


def _encode(detail: object) -> str:
    try:
        return orjson.dumps(detail).decode()
    except NestedTooDeeply:
        return "the provider's error is nested too deeply"
