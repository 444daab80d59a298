"""AI21's cases for the conformance suite."""

from collections.abc import Mapping, Sequence

from modelserving.v1.external_model_pb2 import Ai21LabsConfig, ExternalModel

from modelplane.adapters.providers.types import JsonObject, Task
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.ai21labs.server import API_KEY, Ai21LabsEmulator

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    },
    {"type": "function", "function": {"name": "clock"}},
]


def origins(origin: str) -> Mapping[str, str]:
    """Return what stands in for the API."""
    return {"https://api.ai21.com": origin}


def external_model(name: str, task: str) -> ExternalModel:
    """Return a model of the API."""
    config = Ai21LabsConfig(ai21labs_api_key_plaintext=API_KEY)
    return ExternalModel(name=name, provider="ai21labs", task=task, ai21labs_config=config)


def _case(task: str, name: str, body: JsonObject, variant: str = "") -> ProviderCase:
    return ProviderCase(
        provider="ai21labs",
        task=task,
        streams=task == Task.CHAT,
        model=lambda _: external_model(name, task),
        emulator=Ai21LabsEmulator,
        body=body,
        origins=origins,
        variant=variant,
        secret=API_KEY,
    )


def _chat(text: str, **more: object) -> JsonObject:
    return {"messages": [{"role": "user", "content": text}], **more}


CASES: Sequence[ProviderCase] = (
    _case(Task.CHAT, "jamba-mini", _chat("hello there")),
    _case(
        Task.CHAT, "jamba-large", _chat("clock, get_weather, clock", tools=_TOOLS), variant="tools"
    ),
    _case(Task.COMPLETIONS, "j2-mid", {"prompt": "what is databricks"}),
)
