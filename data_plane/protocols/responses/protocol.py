"""The Responses API as a protocol; see `../base.py`."""

from collections.abc import Mapping, Sequence

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.base import Losses, NativeQuery, Protocol
from modelplane.data_plane.protocols.responses.answer import (
    Asked,
    build_response,
    repeated_fields,
)
from modelplane.data_plane.protocols.responses.request import read_request
from modelplane.data_plane.protocols.responses.stream import ResponseStream
from modelplane.data_plane.protocols.responses.tools import custom_names

_SEALED = "reasoning.encrypted_content"


class _Writer(ResponseStream):
    """Writes one answer."""

    def whole(self, answer: JsonObject) -> bytes:
        """Return the answer as a response."""
        return orjson.dumps(build_response(answer, self._asked))


class Responses(Protocol):
    """OpenAI's Responses API."""

    name = "openai/v1/responses"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form; see `Protocol`."""
        losses = Losses()
        chat = read_request(body, losses)
        included = body.get("include")
        asked = Asked(
            repeated_fields(body),
            custom_names(body.get("tools")),
            isinstance(included, list) and _SEALED in included,
        )
        return NativeQuery(chat, _Writer(asked), losses.notes())

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream which broke off; see `Protocol`."""
        error: JsonObject = {
            "type": "error",
            "code": refusal.status.error_code.lower(),
            "message": refusal.message,
            "param": None,
            "sequence_number": 0,
        }
        return b"event: error\ndata: %b\n\n" % orjson.dumps(error)

    def models(self, models: Sequence[JsonObject], parameters: Mapping[str, str]) -> JsonObject:
        """Return a list of models, under the name too that Codex reads it by; see `Protocol`."""
        del parameters
        told = list(map(self.model, models))
        return {"object": "list", "data": told, "models": told}

    def model(self, model: JsonObject) -> JsonObject:
        """Return one model; see `Protocol`."""
        return {name: value for name, value in model.items() if name != "task"}

    def error(self, refusal: Refusal, request_id: str) -> JsonObject:
        """Return the body of a refusal; see `Protocol`."""
        del request_id
        return {"error": refusal.error()}
