"""Cohere's cases for the conformance suite."""

from collections.abc import Mapping, Sequence

from modelserving.v1.external_model_pb2 import CohereConfig, ExternalModel

from modelplane.adapters.providers.cohere.provider import CohereAdapter
from modelplane.adapters.providers.types import JsonObject, Task
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.cohere.server import API_KEY, CohereEmulator

_CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
_TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": _CITY}},
    {"type": "function", "function": {"name": "clock"}},
]
_REASONING_MODEL = "command-a-reasoning-08-2025"


def origins(origin: str) -> Mapping[str, str]:
    """Return what stands in for the API."""
    return {"https://api.cohere.com": origin}


def external_model(name: str, task: str, **config: str) -> ExternalModel:
    """Return a model of the API."""
    fields = CohereConfig(cohere_api_key_plaintext=API_KEY, **config)
    return ExternalModel(name=name, provider="cohere", task=task, cohere_config=fields)


def _case(task: str, name: str, body: JsonObject, variant: str = "") -> ProviderCase:
    return ProviderCase(
        provider="cohere",
        task=task,
        streams=task != Task.EMBEDDINGS,
        model=lambda _: external_model(name, task),
        # The suite compares the usage of a stream with that of a whole answer.
        emulator=lambda: CohereEmulator(counts_streams=True),
        body=body,
        origins=origins,
        variant=variant,
        statuses=CohereAdapter.own_statuses,
        secret=API_KEY,
    )


def _chat(text: str, **more: object) -> JsonObject:
    return {"messages": [{"role": "user", "content": text}], **more}


CASES: Sequence[ProviderCase] = (
    _case(Task.CHAT, "command-r", _chat("hello there")),
    _case(
        Task.CHAT, "command-r", _chat("clock, get_weather, clock", tools=_TOOLS), variant="tools"
    ),
    _case(
        Task.CHAT,
        _REASONING_MODEL,
        _chat("get_weather", tools=_TOOLS, reasoning_effort="high"),
        variant="thinking",
    ),
    _case(Task.COMPLETIONS, "command", {"prompt": "what is databricks"}),
    _case(Task.COMPLETIONS, "command-light", {"prompt": "one two", "n": 3}, variant="several"),
    _case(Task.EMBEDDINGS, "embed-english-v3.0", {"input": ["one", "two"]}),
)
