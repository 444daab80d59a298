"""Vertex AI's cases for the conformance suite, one for each family of models and task."""

from collections.abc import Mapping, Sequence

from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.google_cloud_vertex_ai.external_models import PROVIDER, external_model
from tests.emulators.google_cloud_vertex_ai.server import VertexEmulator, origins_of

# What the emulator gives out first.
_TOKEN = "ya29.emulated-1"
_CHAT = {"messages": [{"role": "user", "content": "one two three"}]}
_COMPLETION = {"prompt": "one two three"}
_CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
# Thoughts, code that is run, and a tool whose name is refused as it is.
_TOOLS = {
    "messages": [{"role": "user", "content": "RUN get_weather, and get_weather"}],
    "tools": [
        {"type": "function", "function": {"name": "get_weather", "parameters": _CITY}},
        {"type": "function", "function": {"name": "2nd clock"}},
        {"codeExecution": {}},
    ],
    "reasoning_effort": "low",
}


def _case(
    name: str, task: str, body: Mapping[str, object], *, streams: bool = True
) -> ProviderCase:
    return ProviderCase(
        PROVIDER,
        task,
        streams,
        lambda _: external_model(name, task),
        VertexEmulator,
        dict(body),
        origins=origins_of,
        variant=name,
        secret=_TOKEN,
    )


CASES: Sequence[ProviderCase] = (
    _case("gemini-1.5-pro", "llm/v1/chat", {**_CHAT, "n": 2}),
    _case("gemini-3-pro-preview", "llm/v1/chat", _TOOLS),
    _case("claude-3-5-sonnet@20240620", "llm/v1/chat", _CHAT),
    _case("chat-bison", "llm/v1/chat", _CHAT, streams=False),
    _case("gemini-pro", "llm/v1/completions", _COMPLETION),
    _case("text-bison", "llm/v1/completions", _COMPLETION, streams=False),
    _case("textembedding-gecko", "llm/v1/embeddings", {"input": ["one", "two"]}),
    _case("gemini-embedding-001", "llm/v1/embeddings", {"input": ["one", "two", "three"]}),
    _case("gemini-embedding-2", "llm/v1/embeddings", {"input": ["one", "two", "three"]}),
)
