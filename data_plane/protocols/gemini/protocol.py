"""The Gemini API as protocols, one for each of its verbs; see `../base.py`."""

from collections.abc import Mapping, Sequence

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.types import JsonObject, Task
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.base import Framing, Losses, NativeQuery, Protocol
from modelplane.data_plane.protocols.gemini.answer import build_error
from modelplane.data_plane.protocols.gemini.array import JsonArray
from modelplane.data_plane.protocols.gemini.request import read_chat, read_embedding
from modelplane.data_plane.protocols.gemini.stream import GeminiStream
from modelplane.data_plane.protocols.models import after, cut

_CHAT_VERBS = ("generateContent", "streamGenerateContent", "countTokens")
_VERBS: Mapping[str, Sequence[str]] = {Task.EMBEDDINGS: ("embedContent", "batchEmbedContents")}


class GenerateContent(Protocol):
    """Chats."""

    name = "gemini/v1/generateContent"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form; see `Protocol`."""
        losses = Losses()
        chat = read_chat(body, losses)
        options = as_object(body.get("generationConfig") or body.get("generation_config"))
        thinking = as_object(options.get("thinkingConfig") or options.get("thinking_config"))
        shown = bool(thinking.get("includeThoughts") or thinking.get("include_thoughts"))
        return NativeQuery(chat, GeminiStream(thoughts=shown), losses.notes())

    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream which broke off; see `Protocol`."""
        return b"data: %b\r\n\r\n" % orjson.dumps(build_error(refusal))

    def models(self, models: Sequence[JsonObject], parameters: Mapping[str, str]) -> JsonObject:
        """Return a list of models; see `Protocol`."""
        found = after(models, parameters.get("pageToken"))
        page = cut(found, parameters.get("pageSize"), name="pageSize", backwards=False)
        told: JsonObject = {"models": list(map(self.model, page.models))}
        return told | ({"nextPageToken": page.models[-1]["id"]} if page.more else {})

    def model(self, model: JsonObject) -> JsonObject:
        """Return one model; see `Protocol`."""
        return {
            "name": f"models/{model['id']}",
            "baseModelId": model["id"],
            "displayName": model["id"],
            "supportedGenerationMethods": list(_VERBS.get(str(model.get("task")), _CHAT_VERBS)),
        }

    def error(self, refusal: Refusal, request_id: str) -> JsonObject:
        """Return the body of a refusal; see `Protocol`."""
        del request_id
        return build_error(refusal)


class CountTokens(GenerateContent):
    """Counts what a chat would take."""

    name = "gemini/v1/countTokens"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return the chat; it may be inside of `generateContentRequest`."""
        inner = body.get("generateContentRequest")
        if isinstance(inner, dict):
            body = inner | {"model": body.get("model")}
        return super().read(body)

    def count(self, document: JsonObject) -> JsonObject:
        """Return the count in the protocol's form."""
        return {"totalTokens": document["input_tokens"]}


class _EmbeddingWriter:
    """Writes embeddings, one or several."""

    def __init__(self, *, many: bool) -> None:
        self._many = many

    def whole(self, answer: JsonObject) -> bytes:
        """Return the embeddings."""
        vectors = [{"values": item.get("embedding")} for item in as_objects(answer.get("data"))]
        if self._many:
            return orjson.dumps({"embeddings": vectors})
        return orjson.dumps({"embedding": vectors[0] if vectors else {"values": []}})

    def chunk(self, chunk: JsonObject) -> bytes:
        """Embeddings are not streamed."""
        return self.whole(chunk)

    def finish(self) -> bytes:
        """Embeddings are not streamed."""
        return b""

    def fail(self, refusal: Refusal) -> bytes:
        """Return the refusal."""
        return orjson.dumps(build_error(refusal))


class EmbedContent(GenerateContent):
    """Embeds one content, or with `requests` several."""

    name = "gemini/v1/embedContent"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form; see `Protocol`."""
        losses = Losses()
        requests = [body, *as_objects(body.get("requests"))]
        for field in ("taskType", "title"):
            if any(request.get(field) for request in requests):
                losses.note(f"{field}=dropped")
        many = "requests" in body
        return NativeQuery(read_embedding(body), _EmbeddingWriter(many=many), losses.notes())


class StreamGenerateContent(GenerateContent):
    """Chats, and answers as a stream of events."""

    name = "gemini/v1/streamGenerateContent"

    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form; see `Protocol`."""
        return super().read(body | {"stream": True})

    def streams(self, body: JsonObject) -> bool:
        """Tell that it is: the path says so."""
        del body
        return True


class ArrayedStream(StreamGenerateContent):
    """The same for a caller who does not ask for events."""

    def framing(self) -> Framing:
        """Return what makes one array of the events."""
        return JsonArray()
