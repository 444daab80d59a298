"""A query in another form than the canonical one, until it is known who answers it: pure.

Used by `invocation.py`. Where every served entity takes the protocol of the request, its bytes
pass; else it is translated, for those that do not.
"""

from collections.abc import Sequence
from typing import Protocol

from modelplane.adapters.providers.canonical.history import without_thoughts
from modelplane.adapters.providers.types import (
    JsonObject,
    NativeRequest,
    Query,
)
from modelplane.data_plane.calls.hosted_query import build_hosted_query
from modelplane.data_plane.calls.labels import FIELDS
from modelplane.data_plane.calls.query import build_query
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.snapshots.snapshot import ServedEntity

_OWN = frozenset(FIELDS)
# What a model may heed or not.
_HINTS = (
    "reasoning_effort",
    "verbosity",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
)


class NativeCall(Protocol):
    """What a host knows of a request's protocol."""

    @property
    def protocol(self) -> str:
        """Name of the protocol."""

    def complete(self, body: JsonObject) -> JsonObject:
        """Return a body with what the path says in its place."""

    def translate(self, body: JsonObject) -> JsonObject:
        """Return the canonical body of a completed one.

        Raises:
            InvalidParameter: It has none.
        """

    def streams(self, body: JsonObject) -> bool:
        """Tell whether a completed body asks for a stream."""

    def request(self, body: JsonObject, raw: bytes) -> NativeRequest:
        """Return what is passed on, for a body and its bytes."""

    def whole(self, answer: JsonObject) -> bytes:
        """Return a whole canonical answer in the protocol's form."""

    def lose(self, lost: Sequence[str]) -> None:
        """Note what else of a translated body is left out, as in `Plan.adapted`."""


def is_of_responses(body: JsonObject) -> bool:
    """Tell whether the body of a query to an endpoint that chats is one of the Responses API."""
    return "messages" not in body and "input" in body


def build_native_query(
    native: NativeCall,
    spec: TaskSpec,
    raw: bytes,
    body: JsonObject,
    entities: Sequence[ServedEntity],
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
    """
    own = body
    if not _OWN.isdisjoint(body):
        # A provider would refuse the gateway's own fields.
        own = {name: value for name, value in body.items() if name not in FIELDS}
        raw = b""
    protocol = native.protocol
    passing = 0
    for entity in entities:
        if entity.adapter.passage(protocol) is not None:
            passing += 1
    # What nobody gets is not kept until the answer.
    request = native.request(own, raw) if passing else native.request({}, b"")
    if passing == len(entities):
        return Query(own, native.streams(body), native=request)
    query = build_query(spec, native.translate(body))
    query.native = request
    return query


def build_translated_query(native: NativeCall, spec: TaskSpec, body: JsonObject) -> Query:
    """Return the query of a native request that is translated, whoever answers it.

    Raises:
        InvalidParameter: It cannot be translated.
    """
    return build_query(spec, native.translate(body))


def build_native_hosted_query(native: NativeCall, body: JsonObject) -> Query:
    """Return the query of a native request for a model that is hosted here.

    Such models refuse what they have no use for. What agents send with every request, and what
    makes no answer wrong where it is missing, is left out and told.

    Args:
        native: What is known of its protocol.
        body: The completed body.

    Raises:
        InvalidParameter: It cannot be translated.
        MalformedRequest: It is nested too deeply.
    """
    chat = native.translate(body)
    hints = [name for name in _HINTS if chat.pop(name, None) is not None]
    native.lose([f"{name}=dropped" for name in hints])
    if "messages" in chat:
        chat["messages"] = without_thoughts(chat["messages"])
    # Models that were logged as agents know the older name alone.
    if (limit := chat.pop("max_completion_tokens", None)) is not None:
        chat["max_tokens"] = limit
    return build_hosted_query(chat, chat)
