"""The Messages API as a protocol; see `../base.py`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil

import orjson

from modelplane.adapters.providers.types import JsonObject, tokens_of
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.anthropic.answer import build_error, build_message
from modelplane.data_plane.protocols.anthropic.request import read_request
from modelplane.data_plane.protocols.anthropic.stream import MessageStream, fail
from modelplane.data_plane.protocols.base import Losses, NativeQuery, Protocol, encode
from modelplane.data_plane.protocols.models import after, before, chats, cut

_LIMITS = frozenset({"x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"})
_MS = 1000


class _Writer(MessageStream):
    """Writes one answer."""

    def whole(self, answer: JsonObject) -> bytes:
        """Return the answer as a message."""
        return orjson.dumps(build_message(answer))


class Messages(Protocol):
    """Anthropic's Messages API."""

    name = "anthropic/v1/messages"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form; see `Protocol`."""
        losses = Losses()
        chat = read_request(body, losses)
        estimate = tokens_of(len(encode(chat["messages"]))) if chat.get("stream") else 0
        return NativeQuery(chat, _Writer(estimate), losses.notes())

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream which broke off; see `Protocol`."""
        return fail(refusal)

    def models(self, models: Sequence[JsonObject], parameters: Mapping[str, str]) -> JsonObject:
        """Return those that chat; see `Protocol`."""
        found: Sequence[JsonObject] = list(filter(chats, models))
        earlier = parameters.get("before_id")
        backwards = earlier is not None
        if earlier is not None:
            found = before(found, earlier)
        found = after(found, parameters.get("after_id"))
        page = cut(found, parameters.get("limit"), name="limit", backwards=backwards)
        data = list(map(self.model, page.models))
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return {"data": data, "has_more": page.more, "first_id": ends[0], "last_id": ends[1]}

    def model(self, model: JsonObject) -> JsonObject:
        """Return one model; see `Protocol`."""
        return {
            "type": "model",
            "id": model["id"],
            "display_name": model["id"],
            "created_at": _time_of(model.get("created")),
        }

    def headers(
        self, request_id: str, metadata: Metadata, wall_ms: Callable[[], float]
    ) -> Metadata:
        """Return the id of the request, and what is left of limits, as Anthropic's SDKs read it."""
        own = (("request-id", request_id),)
        for name, _ in metadata:
            if name in _LIMITS:
                return (*own, *_tell_limits(dict(metadata), wall_ms() / _MS))
        return own

    def error(self, refusal: Refusal, request_id: str) -> JsonObject:
        """Return the body of a refusal; see `Protocol`."""
        return build_error(refusal, request_id)


def _time_of(seconds: object) -> str:
    """Return a time as the API writes it."""
    known = seconds if isinstance(seconds, int) else 0
    return datetime.fromtimestamp(known, UTC).isoformat().replace("+00:00", "Z")


def _tell_limits(metadata: Mapping[str, str], now: float) -> Iterator[tuple[str, str]]:
    """Yield what OpenAI's headers say of limits, with times in place of seconds.

    API: https://docs.anthropic.com/en/api/rate-limits#response-headers.
    """
    for unit in ("requests", "tokens"):
        for what in ("limit", "remaining", "reset"):
            value = metadata.get(f"x-ratelimit-{what}-{unit}")
            if value is None:
                break
            if what == "reset":
                value = _time_of(ceil(now) + int(value.removesuffix("s")))
            yield f"anthropic-ratelimit-{unit}-{what}", value
