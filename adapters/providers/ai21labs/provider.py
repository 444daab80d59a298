"""AI21 Labs: chat with Jamba models, completions with J2 models.

Bodies and answers are the business of `chat.py`, `chat_stream.py` and
`complete.py`, which Bedrock uses too; routes, credentials and errors are handled here.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.ai21labs.chat import build_chat_body, parse_chat
from modelplane.adapters.providers.ai21labs.chat_stream import JambaStreamParser
from modelplane.adapters.providers.ai21labs.complete import (
    build_complete_bodies,
    parse_completions,
    stream_refusal,
)
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, Clock
from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.credentials.signers import KeySigner, check_key
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.route import Route, RouteAdapter
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query, Task

_BASE = "https://api.ai21.com/studio/v1"


class JambaAdapter(RouteAdapter):
    """Translates for one external model with the task chat."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        del images
        parameters = Parameters(self._provider, query)
        body = build_chat_body(parameters, stream=query.stream)
        return Plan((self._request({"model": self._model, **body}),), parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        answer = parse_json_object(self._provider, answers[0].body)
        return parse_chat(self._provider, query, answer, self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return JambaStreamParser(self._provider, query, self._created(), self._reported)


class J2Adapter(RouteAdapter):
    """Translates for one external model with the task completions."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's requests, one for each prompt; see `Adapter`."""
        del images
        parameters = Parameters(self._provider, query)
        bodies = build_complete_bodies(parameters, stream=query.stream)
        return Plan(tuple(map(self._request, bodies)), parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the responses; see `Adapter`."""
        prompts = Parameters(self._provider, query).take_texts("prompt")
        parsed = [parse_json_object(self._provider, answer.body) for answer in answers]
        wanted = query.body.get("logprobs")
        return parse_completions(
            self._provider,
            prompts,
            parsed,
            self._created(),
            logprobs=wanted is not None and wanted is not False,
        )

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: these models do not stream; see `Adapter`."""
        del query
        raise stream_refusal(self._provider)


def build_ai21labs_adapter(model: ExternalModel, clock: Clock = WALL_CLOCK) -> RouteAdapter:
    """Return the adapter of an external model.

    Args:
        model: The external model.
        clock: Seconds since the epoch.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.ai21labs_config
    signer = KeySigner(check_key("ai21labs_api_key", config.ai21labs_api_key_plaintext))
    adapter: type[RouteAdapter]
    if model.task == Task.CHAT:
        adapter, url = JambaAdapter, f"{_BASE}/chat/completions"
    elif model.task == Task.COMPLETIONS:
        adapter, url = J2Adapter, f"{_BASE}/{quote(model.name, safe='')}/complete"
    else:
        raise ConfigRefused(f"task '{model.task}' is not served by ai21labs")
    return adapter(Route(model.provider, model.name, url, signer, clock=clock))
