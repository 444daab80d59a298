"""Anthropic's cases for the conformance suite."""

from collections.abc import Callable, Mapping, Sequence

from modelserving.v1.external_model_pb2 import AnthropicConfig, ExternalModel

from modelplane.adapters.providers.types import JsonObject, Task
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.anthropic.server import API_KEY, AnthropicEmulator

_CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
_TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": _CITY}},
    {"type": "function", "function": {"name": "the.clock"}},
]


def origins(origin: str) -> Mapping[str, str]:
    """Return what stands in for the API."""
    return {"https://api.anthropic.com": origin}


def external_model(name: str, task: str) -> ExternalModel:
    """Return a model of the API."""
    config = AnthropicConfig(anthropic_api_key_plaintext=API_KEY)
    return ExternalModel(name=name, provider="anthropic", task=task, anthropic_config=config)


def _chat(text: str, **more: object) -> JsonObject:
    return {"messages": [{"role": "user", "content": text}], **more}


def _case(variant: str, task: str, name: str, body: JsonObject) -> ProviderCase:
    model: Callable[[str], ExternalModel] = lambda _: external_model(name, task)  # noqa: E731
    return ProviderCase(
        provider="anthropic",
        task=task,
        streams=True,
        model=model,
        emulator=AnthropicEmulator,
        body=body,
        origins=origins,
        variant=variant,
        secret=API_KEY,
    )


CASES: Sequence[ProviderCase] = (
    _case("", Task.CHAT, "claude-3-5-sonnet-20240620", _chat("hello there")),
    _case(
        "tools",
        Task.CHAT,
        "claude-3-5-sonnet-20240620",
        _chat("explain get_weather, twice", tools=_TOOLS),
    ),
    _case(
        "thinking",
        Task.CHAT,
        "claude-sonnet-4-5",
        _chat("get_weather", tools=_TOOLS, reasoning_effort="low"),
    ),
    _case("", Task.COMPLETIONS, "claude-2", {"prompt": "what is databricks", "max_tokens": 50}),
    _case("prompt", Task.COMPLETIONS, "claude-sonnet-4-5", {"prompt": "what is databricks"}),
)
