"""The REST API's streams: server-sent events of JSON, and how they end; pure.

Used by `rest.py` and, for gRPC calls whose messages hold the same, `grpc/http_body.py`.
"""

from collections.abc import Sequence

import orjson

from modelplane.data_plane.errors import Refusal

EVENT_STREAM = "text/event-stream; charset=utf-8"
_DONE = b"data: [DONE]\n\n"


def encode_events(chunks: Sequence[bytes], *, ended: bool) -> bytes:
    """Return chunks as events, followed by the end marker where they have ended.

    Args:
        chunks: JSON without line breaks.
        ended: Whether they are the last ones.
    """
    if not chunks:
        return _DONE if ended else b""
    events = b"data: " + b"\n\ndata: ".join(chunks) + b"\n\n"
    return events + _DONE if ended else events


def encode_error(refusal: Refusal) -> bytes:
    """Return the event that ends a stream which failed after it began.

    It has the form of a chunk without choices: clients read those before they look for an error,
    and one that finds none takes the caller's request for the reason.
    """
    error = orjson.dumps({"error": refusal.error(), "choices": []})
    return encode_events((error,), ended=False)
