"""Ends a stream that may not go on, in the form of its last chunk: pure.

Used by `relayed_stream.py`, which asks the admission and the guardrails whether a stream may.
"""

from collections.abc import Iterable
from typing import NamedTuple

from modelplane.adapters.providers.types import JsonObject

REASON = "token limit: the tokens of this minute are used up"
_FRAME = ("id", "object", "created", "model", "system_fingerprint")


class Cut(NamedTuple):
    """Why a stream ends.

    Attributes:
        finish_reason: The same in the words of the API.
        told: What else its last chunk says.
    """

    finish_reason: str
    told: JsonObject


# As one whose `max_tokens` are used up.
OUT_OF_TOKENS = Cut("length", {"modelplane_reason": REASON})


def last_chunk(
    before: JsonObject, *, deltas: bool, choices: Iterable[int], cut: Cut = OUT_OF_TOKENS
) -> JsonObject:
    """Return the chunk that ends a stream.

    Args:
        before: The chunk before it.
        deltas: Whether it is a part of messages.
        choices: Indexes of the choices that end.
        cut: Why.
    """
    content: JsonObject = {"delta": {}} if deltas else {"text": "", "logprobs": None}
    chunk: JsonObject = {name: before[name] for name in _FRAME if name in before}
    chunk["choices"] = [
        {"index": index, **content, "finish_reason": cut.finish_reason} for index in choices
    ]
    return chunk | cut.told
