"""From the bytes of a request to the query of a hosted model, which gets these bytes: pure.

Used by `invocation.py`, in place of `query.py`. The model's own server parses and checks them; what
the gateway itself has to know of them is little.
"""

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Query
from modelplane.data_plane.calls.labels import FIELDS
from modelplane.data_plane.calls.query import MAX_VALUES, count_values, parse_body
from modelplane.data_plane.errors import MalformedRequest

# What the gateway reads of a body; where none of them occurs, it need not be parsed.
_READ = tuple(f'"{name}"'.encode() for name in ("stream", *FIELDS))


def skim_body(body: bytes | JsonObject) -> JsonObject:
    """Return the JSON object in a body, as far as the gateway reads it.

    A table of millions of numbers is what hosted models are asked with, and takes longer to parse
    than anything else may wait: it is left to the model's server, unless it asks something of the
    gateway.

    Raises:
        MalformedRequest: It is no JSON object, or has too many values.
    """
    if isinstance(body, dict) or count_values(body) <= MAX_VALUES:
        return parse_body(body)
    if body.lstrip()[:1] != b"{":
        raise MalformedRequest("The request body must be a JSON object.")
    return parse_body(body) if any(name in body for name in _READ) else {}


def build_hosted_query(body: JsonObject, raw: bytes | JsonObject) -> Query:
    """Return the query of a hosted model.

    Args:
        body: What `skim_body` has returned.
        raw: What the caller sent: JSON, or an object of a typed message.

    Raises:
        MalformedRequest: The object is nested too deeply.
    """
    if isinstance(raw, dict):
        try:
            raw = orjson.dumps(raw)
        except NestedTooDeeply:
            raise MalformedRequest("The request is nested too deeply.") from None
    return Query(body, body.get("stream") is True, raw)
