"""Carries a model's thoughts through clients of the Responses API, which keep them unread; pure.

They go out as `encrypted_content` of a reasoning item, which such clients send back as it was, so
that a model that needs its signed thoughts again gets them. It is no secret and no proof: who made
the thoughts, as Anthropic does, checks their signatures itself.
"""

import base64
import binascii
from collections.abc import Sequence

import orjson

from modelplane.adapters.providers.canonical.json_values import as_objects
from modelplane.adapters.providers.types import JsonObject

_PREFIX = "modelplane.1."
_KINDS = ("thinking", "redacted_thinking")


def seal(blocks: Sequence[JsonObject]) -> str:
    """Return thinking blocks as one text."""
    return _PREFIX + base64.urlsafe_b64encode(orjson.dumps(list(blocks))).decode()


def unseal(text: str) -> list[JsonObject]:
    """Return the thinking blocks in a text; none where it comes from elsewhere."""
    if not text.startswith(_PREFIX):
        return []
    try:
        value = orjson.loads(base64.urlsafe_b64decode(text[len(_PREFIX) :]))
    except (binascii.Error, ValueError):
        return []
    return [block for block in as_objects(value) if block.get("type") in _KINDS]
