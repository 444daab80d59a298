"""A query in another form than the canonical one, until it is known who answers it: pure.

Used by `invocation.py`. Where every served entity takes the protocol of the request, its bytes
pass; else it is translated, for those that do not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson

from modelplane.adapters.providers.types import (
    JsonObject,
    NativeRequest,
    NestedTooDeeply,
    Query,
)
from modelplane.data_plane.calls.labels import FIELDS
from modelplane.data_plane.calls.query import build_query
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.errors import MalformedRequest
from modelplane.data_plane.snapshots.snapshot import ServedEntity


@dataclass(frozen=True, slots=True)
class NativeCall:
    """What a host knows of a request's protocol.

    Attributes:
        protocol: Its name.
        complete: Returns a body with what the path says in its place.
        translate: Returns the canonical body of a completed one; may refuse it.
        streams: Tells whether a completed body asks for a stream.
        request: Returns what is passed on, for a body and its bytes.
    """

    protocol: str
    complete: Callable[[JsonObject], JsonObject] = field(repr=False)
    translate: Callable[[JsonObject], JsonObject] = field(repr=False)
    streams: Callable[[JsonObject], bool] = field(repr=False)
    request: Callable[[JsonObject, bytes], NativeRequest] = field(repr=False)


def build_native_query(
    native: NativeCall,
    spec: TaskSpec,
    raw: bytes,
    body: JsonObject,
    entities: Iterable[ServedEntity],
) -> Query:
    """Return the query of a native request.

    Args:
        native: What is known of its protocol.
        spec: Its task.
        raw: Its bytes.
        body: The completed body.
        entities: Those that may answer it.

    Raises:
        InvalidParameter: Some entity needs it translated, and it cannot be.
        MalformedRequest: It is nested too deeply.
    """
    own = {name: value for name, value in body.items() if name not in FIELDS}
    if len(own) < len(body):
        # The gateway's own fields, which a provider would refuse.
        raw = _encode(own)
    request = native.request(own, raw)
    if all(entity.adapter.passage(native.protocol) for entity in entities):
        return Query(own, native.streams(body), native=request)
    query = build_query(spec, native.translate(body))
    query.native = request
    return query


def _encode(body: JsonObject) -> bytes:
    try:
        return orjson.dumps(body)
    except NestedTooDeeply:
        raise MalformedRequest("The request is nested too deeply.") from None
