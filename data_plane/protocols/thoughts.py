"""Carries a model's thoughts through clients that keep what they cannot read; pure.

They go out as what other models sign or encrypt theirs with, which such clients send back as it
was, so that a model that needs its signed thoughts again gets them. It is no secret and no proof:
who made the thoughts, as Anthropic does, checks their signatures itself.
"""

import base64
import binascii
from collections.abc import Sequence

import orjson

from modelplane.adapters.providers.canonical.json_values import as_objects
from modelplane.adapters.providers.types import JsonObject

_MARK = b"modelplane.1."
_KINDS = ("thinking", "redacted_thinking")


def in_usual_base64(data: str) -> str:
    """Return base64 in the usual alphabet, whose bytes protocol buffers may have in that of URLs.

    Google's SDKs send it so: https://protobuf.dev/programming-guides/json/.
    """
    return data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4)


def seal(blocks: Sequence[JsonObject]) -> str:
    """Return thinking blocks as one text, which is base64."""
    return base64.b64encode(_MARK + orjson.dumps(list(blocks))).decode()


def unseal(text: object) -> list[JsonObject]:
    """Return the thinking blocks in a text; none where it comes from elsewhere."""
    if not isinstance(text, str):
        return []
    try:
        raw = base64.b64decode(in_usual_base64(text), validate=True)
        value = orjson.loads(raw[len(_MARK) :]) if raw.startswith(_MARK) else []
    except (binascii.Error, ValueError):
        return []
    return [block for block in as_objects(value) if block.get("type") in _KINDS]
