"""Cohere: chat through v2, completions through the legacy generate API, embeddings through v2.

Bodies and answers are the business of `chat.py`, `generate.py` and
`embed.py`, which Bedrock uses too; routes, credentials and errors are handled here.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, ChunkBuilder, Clock
from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.cohere.chat import build_chat_body, parse_chat
from modelplane.adapters.providers.cohere.chat_stream import CohereChatStreamParser
from modelplane.adapters.providers.cohere.embed import build_embed_bodies, parse_embeddings
from modelplane.adapters.providers.cohere.generate import (
    GenerateStreamParser,
    build_generate_bodies,
    parse_generations,
)
from modelplane.adapters.providers.credentials.signers import KeySigner, check_key
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    ProviderUnavailable,
    RequestRefused,
)
from modelplane.adapters.providers.route import Route, RouteAdapter
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query, Task

_DEFAULT_BASE = "https://api.cohere.com"
_VERSIONS = ("/v1", "/v2")


class CohereAdapter(RouteAdapter):
    """What all tasks share: the meaning of a status."""

    __slots__ = ()

    own_statuses: ClassVar[Mapping[int, type[AdapterError]]] = {
        # A text on Cohere's deny list.
        498: RequestRefused,
        499: ProviderUnavailable,
        501: RequestRefused,
    }

    def _parse(self, answers: Sequence[HttpAnswer]) -> list[JsonObject]:
        return [parse_json_object(self._provider, answer.body) for answer in answers]


class CohereChatAdapter(CohereAdapter):
    """Translates for one external model with the task chat."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        del images
        parameters = Parameters(self._provider, query)
        body = build_chat_body(parameters, self._model, stream=query.stream)
        return Plan((self._request(body),), parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        return parse_chat(self._provider, query, self._parse(answers)[0], self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return CohereChatStreamParser(self._provider, query, self._created(), self._reported)


class CohereGenerateAdapter(CohereAdapter):
    """Translates for one external model with the task completions."""

    __slots__ = ()
    streams_lines = True

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's requests, one for each prompt; see `Adapter`."""
        del images
        parameters = Parameters(self._provider, query)
        bodies = build_generate_bodies(parameters, stream=query.stream)
        requests = tuple(self._request({"model": self._model, **body}) for body in bodies)
        return Plan(requests, parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the responses; see `Adapter`."""
        prompts = Parameters(self._provider, query).take_texts("prompt")
        return parse_generations(self._provider, prompts, self._parse(answers), self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        prompt = Parameters(self._provider, query).take_texts("prompt")[0]
        chunks = ChunkBuilder(f"cmpl-{uuid4().hex}", self._created(), "text_completion")
        return GenerateStreamParser(self._provider, prompt, chunks, self._reported)


class CohereEmbedAdapter(CohereAdapter):
    """Translates for one external model with the task embeddings."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's requests, one for each batch; see `Adapter`."""
        del images
        parameters = Parameters(self._provider, query)
        bodies = build_embed_bodies(parameters)
        requests = tuple(self._request({"model": self._model, **body}) for body in bodies)
        return Plan(requests, parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the responses; see `Adapter`."""
        return parse_embeddings(self._provider, query, self._parse(answers))

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: embeddings are not streamed; see `Adapter`."""
        del query
        raise RequestRefused(self._provider, "embeddings cannot be streamed")


_ROUTES: Mapping[Task, tuple[str, type[CohereAdapter]]] = {
    Task.CHAT: ("/v2/chat", CohereChatAdapter),
    Task.COMPLETIONS: ("/v1/generate", CohereGenerateAdapter),
    Task.EMBEDDINGS: ("/v2/embed", CohereEmbedAdapter),
}


def build_cohere_adapter(model: ExternalModel, clock: Clock = WALL_CLOCK) -> CohereAdapter:
    """Return the adapter of an external model.

    Args:
        model: The external model.
        clock: Seconds since the epoch.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.cohere_config
    signer = KeySigner(check_key("cohere_api_key", config.cohere_api_key_plaintext))
    try:
        path, adapter = _ROUTES[Task(model.task)]
    except ValueError:
        raise ConfigRefused(f"task '{model.task}' is not served by cohere") from None
    url = _join(config.cohere_api_base or _DEFAULT_BASE, path)
    return adapter(Route(model.provider, model.name, url, signer, clock=clock))


def _join(base: str, path: str) -> str:
    """Return a route's URL; the route has its own version, whatever version the base names."""
    try:
        parts = urlsplit(base.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigRefused("cohere_api_base must be an http or https URL")
    root = parts.path.rstrip("/")
    for version in _VERSIONS:
        root = root.removesuffix(version)
    return urlunsplit((parts.scheme, parts.netloc, root + path, parts.query, ""))
