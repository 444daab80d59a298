"""Embeddings through Cohere's embed API: bodies and answers, pure.

API: https://docs.cohere.com/v2/reference/embed. A request takes 96 texts, so a query with more
becomes several; their answers are joined in order. Models since v3 need to know what the texts
are for: `search_document`, unless the caller says otherwise in `input_type`.
"""

import base64
import struct
from collections.abc import Sequence

from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.canonical.parameters import HARMLESS, Parameters
from modelplane.adapters.providers.cohere.conventions import read_usage, sum_usage
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import JsonObject, Query

BATCH_SIZE = 96
_INPUT_TYPE = "search_document"


def build_embed_bodies(parameters: Parameters) -> list[JsonObject]:
    """Return the bodies of `POST /v2/embed`, without `model`.

    Raises:
        RequestRefused: Cohere has no counterpart for something in the query.
    """
    texts = parameters.take_texts("input")
    encoding = parameters.take("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise parameters.refusal("'encoding_format' must be float or base64.")
    if encoding == "base64":
        parameters.note("encoding_format=emulated")
    parameters.rename("dimensions", "output_dimension")
    parameters.drop(*HARMLESS)
    shared = {"input_type": _INPUT_TYPE, "embedding_types": ["float"], **parameters.rest}
    return [{"texts": batch, **shared} for batch in split_batches(texts)]


def split_batches(texts: Sequence[str]) -> list[Sequence[str]]:
    """Return the texts of each request, in order."""
    return [texts[start : start + BATCH_SIZE] for start in range(0, len(texts), BATCH_SIZE)]


def parse_embeddings(provider: str, query: Query, answers: Sequence[JsonObject]) -> JsonObject:
    """Return the canonical answer in Cohere's answers, one for each batch.

    Raises:
        MalformedAnswer: There is not exactly one embedding for each text.
    """
    given = query.body.get("input")
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    vectors: list[object] = []
    usages = []
    for batch, answer in zip(split_batches(texts), answers, strict=True):
        found = _vectors(answer.get("embeddings"))
        if len(found) != len(batch):
            raise MalformedAnswer(provider, "the provider's answer lacks an embedding")
        vectors += found
        usages.append(read_usage(as_object(answer.get("meta")), batch, None))
    packed = query.body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _pack(provider, vector) if packed else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = sum_usage(usages)
    del usage["completion_tokens"]
    return {"object": "list", "data": data, "usage": usage}


def _vectors(embeddings: object) -> list[object]:
    """Return the vectors of either shape: a list, or lists by type, floats first."""
    if isinstance(embeddings, dict):
        embeddings = embeddings.get("float") or next(iter(embeddings.values()), None)
    return embeddings if isinstance(embeddings, list) else []


def _pack(provider: str, vector: object) -> str:
    """Return OpenAI's base64 form of a vector: little-endian single-precision numbers."""
    numbers = vector if isinstance(vector, list) else [None]
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (struct.error, OverflowError) as error:
        raise MalformedAnswer(provider, "the provider's answer holds no embedding") from error
