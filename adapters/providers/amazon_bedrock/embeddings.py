"""Embeddings at Bedrock, through InvokeModel: Amazon's Titan and Cohere's Embed.

Titan takes one text for each request, so a query with several becomes several requests; Cohere
takes 96. Built by `provider.py`; `cohere/embed.py` translates for Cohere.
"""

import base64
import struct
from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.amazon_bedrock.adapter import BedrockAdapter, read_token_counts
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import estimate_tokens
from modelplane.adapters.providers.canonical.json_values import as_object, parse_json_object
from modelplane.adapters.providers.canonical.parameters import HARMLESS, Parameters
from modelplane.adapters.providers.cohere.embed import build_embed_bodies, parse_embeddings
from modelplane.adapters.providers.errors import MalformedAnswer, refusal
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query, as_count


class EmbeddingAdapter(BedrockAdapter):
    """What both families share."""

    __slots__ = ()

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: embeddings are not streamed; see `Adapter`."""
        del query
        raise refusal(self._target.provider, "Embeddings cannot be streamed: leave out 'stream'.")

    def _plan(self, bodies: Sequence[JsonObject], parameters: Parameters) -> Plan:
        requests = tuple(self._request("invoke", body) for body in bodies)
        return Plan(requests, parameters.adapted)


class CohereEmbedAdapter(EmbeddingAdapter):
    """Cohere's Embed."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests, one for each batch; see `Adapter`."""
        del images
        parameters = Parameters(self._target.provider, query)
        return self._plan(build_embed_bodies(parameters), parameters)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the embeddings, in order; see `Adapter`."""
        provider = self._target.provider
        return parse_embeddings(provider, query, [self._body(answer) for answer in answers])

    def _body(self, answer: HttpAnswer) -> JsonObject:
        """Return an answer with the tokens that only its headers count."""
        body = parse_json_object(self._target.provider, answer.body)
        tokens, _ = read_token_counts(answer)
        return body if tokens is None else {"meta": {"tokens": {"input_tokens": tokens}}, **body}


class TitanEmbedAdapter(EmbeddingAdapter):
    """Amazon's Titan embeddings."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests, one for each text; see `Adapter`."""
        del images
        parameters = Parameters(self._target.provider, query)
        texts = parameters.take_texts("input")
        encoding = parameters.take("encoding_format")
        if encoding not in (None, "float", "base64"):
            raise parameters.refusal("'encoding_format' must be float or base64.")
        if encoding == "base64":
            parameters.note("encoding_format=emulated")
        parameters.drop(*HARMLESS)
        return self._plan([{"inputText": text, **parameters.rest} for text in texts], parameters)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the embeddings, in order; see `Adapter`."""
        texts = Parameters(self._target.provider, query).take_texts("input")
        packed = query.body.get("encoding_format") == "base64"
        total = 0
        estimated = False
        entries: list[JsonObject] = []
        for index, (text, answer) in enumerate(zip(texts, answers, strict=True)):
            body = parse_json_object(self._target.provider, answer.body)
            vector = self._vector(body)
            embedding = _pack(vector) if packed else vector
            entries.append({"object": "embedding", "index": index, "embedding": embedding})
            tokens = as_count(body.get("inputTextTokenCount"))
            if tokens is None:
                tokens, _ = read_token_counts(answer)
            estimated |= tokens is None
            total += estimate_tokens(text) if tokens is None else tokens
        usage: JsonObject = {"prompt_tokens": total, "total_tokens": total}
        if estimated:
            usage["estimated"] = True
        return {"object": "list", "data": entries, "usage": usage}

    def _vector(self, body: JsonObject) -> list[float]:
        vector = body.get("embedding")
        if vector is None:
            by_type = as_object(body.get("embeddingsByType"))
            vector = by_type.get("float") or next(iter(by_type.values()), None)
        if not isinstance(vector, list) or not all(isinstance(one, int | float) for one in vector):
            raise MalformedAnswer(self._target.provider, "the provider's answer has no embedding")
        return vector


def _pack(vector: Sequence[float]) -> str:
    """Return OpenAI's base64 form of a vector: little-endian single-precision numbers."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
