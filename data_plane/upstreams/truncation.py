"""Ends a stream that has used up its limit on tokens, in the form of its last chunk: pure.

Used by `relayed_stream.py`, which asks the admission whether a stream may go on.
"""

from collections.abc import Iterable

from modelplane.adapters.providers.types import JsonObject

REASON = "token limit: the tokens of this minute are used up"
_FRAME = ("id", "object", "created", "model", "system_fingerprint")


def last_chunk(before: JsonObject, *, deltas: bool, choices: Iterable[int]) -> JsonObject:
    """Return the chunk that ends a stream as one whose `max_tokens` are used up.

    Args:
        before: The chunk before it.
        deltas: Whether it is a part of messages.
        choices: Indexes of the choices that end.
    """
    content: JsonObject = {"delta": {}} if deltas else {"text": "", "logprobs": None}
    chunk: JsonObject = {name: before[name] for name in _FRAME if name in before}
    chunk["choices"] = [{"index": index, **content, "finish_reason": "length"} for index in choices]
    chunk["modelplane_reason"] = REASON
    return chunk
