"""Embedding models on Vertex AI, through `predict`.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api. How
many texts one request may hold depends on the model, so a query may become several requests.
`task_type` and `title` go to each text, other parameters that nobody listed to `parameters`.

Built by `provider.py`.
"""

import base64
import struct
from collections.abc import Mapping, Sequence

from adapters.providers.base import StreamParser
from adapters.providers.canonical_answers import estimate_tokens
from adapters.providers.errors import MalformedAnswer
from adapters.providers.google_cloud_vertex_ai.adapter import VertexAdapter
from adapters.providers.google_cloud_vertex_ai.errors import parse_object
from adapters.providers.parameters import HARMLESS, Parameters
from adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query
from adapters.providers.wire import as_count, as_object, as_objects

# Texts that one request may hold, by the beginning of the model's name.
_TEXTS: Mapping[str, int] = {
    "textembedding-gecko": 5,
    "gemini-embedding-001": 1,
}
_MOST_TEXTS = 250


class EmbeddingAdapter(VertexAdapter):
    """Translates embeddings."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests; see `Adapter`."""
        del images
        parameters = Parameters(self._target.provider, query)
        texts = parameters.take_texts("input")
        parameters.drop(*HARMLESS)
        encoding = parameters.take("encoding_format")
        if encoding not in (None, "float", "base64"):
            raise self.refuse("'encoding_format' must be float or base64")
        if encoding == "base64":
            parameters.note("encoding_format=emulated")
        parameters.rename("dimensions", "outputDimensionality")
        parameters.rename("auto_truncate", "autoTruncate")
        shared = {
            name: value
            for name in ("task_type", "title")
            if (value := parameters.take(name)) is not None
        }
        tail = {"parameters": parameters.rest} if parameters.rest else {}
        instances = [{"content": text, **shared} for text in texts]
        size = texts_per_request(self._target.model)
        requests = tuple(
            self.build_request("predict", {"instances": instances[at : at + size], **tail})
            for at in range(0, len(instances), size)
        )
        return Plan(requests, parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the embeddings of all texts, in order; see `Adapter`."""
        texts = Parameters(self._target.provider, query).take_texts("input")
        predictions = [
            prediction
            for answer in answers
            for prediction in as_objects(
                parse_object(self._target.provider, answer.body).get("predictions")
            )
        ]
        if len(predictions) != len(texts):
            raise MalformedAnswer(
                self._target.provider, "the provider did not answer with one embedding per text"
            )
        encode = query.body.get("encoding_format") == "base64"
        entries: list[JsonObject] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": self._embedding(one, encode=encode),
            }
            for index, one in enumerate(predictions)
        ]
        return {"object": "list", "data": entries, "usage": _usage(texts, predictions)}

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: embeddings are not streamed."""
        del query
        raise self.refuse("embeddings cannot be streamed")

    def _embedding(self, prediction: JsonObject, *, encode: bool) -> object:
        values = as_object(prediction.get("embeddings")).get("values")
        if not isinstance(values, list) or not all(isinstance(one, int | float) for one in values):
            raise MalformedAnswer(self._target.provider, "an embedding is not a list of numbers")
        if not encode:
            return values
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def texts_per_request(model: str) -> int:
    """Return how many texts one request to a model may hold."""
    return next((size for name, size in _TEXTS.items() if model.startswith(name)), _MOST_TEXTS)


def _usage(texts: Sequence[str], predictions: Sequence[JsonObject]) -> JsonObject:
    counts = [
        as_count(as_object(as_object(one.get("embeddings")).get("statistics")).get("token_count"))
        for one in predictions
    ]
    total = sum(
        estimate_tokens(text) if count is None else count
        for text, count in zip(texts, counts, strict=True)
    )
    usage: JsonObject = {"prompt_tokens": total, "total_tokens": total}
    return usage | {"estimated": True} if None in counts else usage
