"""Embedding models on Vertex AI: `predict` for several texts, `embedContent` for one at a time.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api, and
for Gemini Embedding 2 the request of the method `embedContent`. How much one request may hold
depends on the model, so a query may become several requests. Parameters that nobody listed go
where the model's own are.

Built by `provider.py`; `embedding_batches.py` splits the texts.
"""

import base64
import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import estimate_tokens
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.canonical.parameters import HARMLESS, Parameters
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import VertexAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.embedding_batches import split_texts
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_object
from modelplane.adapters.providers.types import (
    HttpAnswer,
    HttpRequest,
    Image,
    JsonObject,
    Plan,
    Query,
    as_count,
)

# Texts that one request may hold, by the beginning of the model's name.
_TEXTS: Mapping[str, int] = {
    "textembedding-gecko": 5,
    "gemini-embedding-": 1,
}
_MOST_TEXTS = 250
# Beyond this the whole request is refused, although a longer text alone would be cut.
_MOST_TOKENS = 20_000

_Requests: TypeAlias = tuple[HttpRequest, ...]


@dataclass(frozen=True, slots=True)
class _Embedding:
    """One vector, and the tokens of its text, None where they were not counted."""

    values: object = field(repr=False)
    tokens: int | None


class EmbeddingAdapter(VertexAdapter):
    """Translates embeddings, however the model is asked for them."""

    __slots__ = ()

    @abstractmethod
    def build_requests(self, texts: Sequence[str], parameters: Parameters) -> _Requests:
        """Return the requests that embed all texts, in order."""

    @abstractmethod
    def read_embeddings(self, answer: JsonObject) -> list[_Embedding]:
        """Return the embeddings in the answer to one of them."""

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests; see `Adapter`."""
        del images
        parameters = Parameters(self._target.provider, query)
        texts = parameters.take_texts("input")
        parameters.drop(*HARMLESS)
        encoding = parameters.take("encoding_format")
        if encoding not in (None, "float", "base64"):
            raise self.refusal("'encoding_format' must be float or base64")
        if encoding == "base64":
            parameters.note("encoding_format=emulated")
        parameters.rename("dimensions", "outputDimensionality")
        parameters.rename("auto_truncate", "autoTruncate")
        return Plan(self.build_requests(texts, parameters), parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the embeddings of all texts, in order; see `Adapter`."""
        provider = self._target.provider
        texts = Parameters(provider, query).take_texts("input")
        found = [
            embedding
            for answer in answers
            for embedding in self.read_embeddings(parse_object(provider, answer.body))
        ]
        if len(found) != len(texts):
            raise MalformedAnswer(
                provider, "the provider did not answer with one embedding per text"
            )
        encode = query.body.get("encoding_format") == "base64"
        entries: list[JsonObject] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": self._vector(one.values, encode=encode),
            }
            for index, one in enumerate(found)
        ]
        return {"object": "list", "data": entries, "usage": _usage(texts, found)}

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: embeddings are not streamed."""
        del query
        raise self.refusal("embeddings cannot be streamed")

    def _vector(self, values: object, *, encode: bool) -> object:
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise MalformedAnswer(self._target.provider, "an embedding is not a list of numbers")
        if not encode:
            return values
        try:
            return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        except (struct.error, OverflowError) as error:
            raise MalformedAnswer(
                self._target.provider, "an embedding holds a number that is too large"
            ) from error


class PredictEmbeddingAdapter(EmbeddingAdapter):
    """Asks by `predict`."""

    __slots__ = ()

    def build_requests(self, texts: Sequence[str], parameters: Parameters) -> _Requests:
        """Return a request for each batch; `task_type` and `title` go to each text."""
        shared = {
            name: value
            for name in ("task_type", "title")
            if (value := parameters.take(name)) is not None
        }
        tail = {"parameters": parameters.rest} if parameters.rest else {}
        size = texts_per_request(self._target.model)
        return tuple(
            self.build_request(
                "predict", {"instances": [{"content": text, **shared} for text in batch], **tail}
            )
            for batch in split_texts(texts, size, _MOST_TOKENS)
        )

    def read_embeddings(self, answer: JsonObject) -> list[_Embedding]:
        """Return the embeddings in an answer's predictions."""
        found = [as_object(one.get("embeddings")) for one in as_objects(answer.get("predictions"))]
        return [
            _Embedding(
                one.get("values"), as_count(as_object(one.get("statistics")).get("token_count"))
            )
            for one in found
        ]


class EmbedContentAdapter(EmbeddingAdapter):
    """Asks by `embedContent`, whose request holds one text."""

    __slots__ = ()

    def build_requests(self, texts: Sequence[str], parameters: Parameters) -> _Requests:
        """Return a request for each text."""
        parameters.rename("task_type", "taskType")
        tail = {"embedContentConfig": parameters.rest} if parameters.rest else {}
        return tuple(
            self.build_request(
                "embedContent", {"content": {"role": "user", "parts": [{"text": text}]}, **tail}
            )
            for text in texts
        )

    def read_embeddings(self, answer: JsonObject) -> list[_Embedding]:
        """Return the one embedding of an answer."""
        embedding = answer.get("embedding")
        if not isinstance(embedding, dict):
            return []
        usage = as_object(answer.get("usageMetadata"))
        return [_Embedding(embedding.get("values"), as_count(usage.get("promptTokenCount")))]


def texts_per_request(model: str) -> int:
    """Return how many texts one request to a model may hold."""
    return next((size for name, size in _TEXTS.items() if model.startswith(name)), _MOST_TEXTS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _usage(texts: Sequence[str], embeddings: Sequence[_Embedding]) -> JsonObject:
    total = sum(
        estimate_tokens(text) if one.tokens is None else one.tokens
        for text, one in zip(texts, embeddings, strict=True)
    )
    usage: JsonObject = {"prompt_tokens": total, "total_tokens": total}
    counted = all(one.tokens is not None for one in embeddings)
    return usage if counted else usage | {"estimated": True}
