"""Vertex AI's cases for the conformance suite, one for each family of models and task."""

from collections.abc import Mapping, Sequence

from modelserving.v1.external_model_pb2 import ExternalModel, GoogleCloudVertexAiConfig

from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.google_cloud_vertex_ai.keys import KEY_FILE, PROJECT
from tests.emulators.google_cloud_vertex_ai.server import VertexEmulator, origins_of

PROVIDER = "google-cloud-vertex-ai"
# What the emulator gives out first.
_TOKEN = "ya29.emulated-1"
_CHAT = {"messages": [{"role": "user", "content": "one two three"}]}
_COMPLETION = {"prompt": "one two three"}


def external_model(name: str, task: str, **fields: str) -> ExternalModel:
    """Return an external model at Vertex AI."""
    config = {"private_key_plaintext": KEY_FILE, "project_id": PROJECT, "region": "us-central1"}
    return ExternalModel(
        name=name,
        provider=PROVIDER,
        task=task,
        google_cloud_vertex_ai_config=GoogleCloudVertexAiConfig(**{**config, **fields}),
    )


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
    _case("claude-3-5-sonnet@20240620", "llm/v1/chat", _CHAT),
    _case("chat-bison", "llm/v1/chat", _CHAT, streams=False),
    _case("gemini-pro", "llm/v1/completions", _COMPLETION),
    _case("text-bison", "llm/v1/completions", _COMPLETION, streams=False),
    _case("textembedding-gecko", "llm/v1/embeddings", {"input": ["one", "two"]}),
    _case("gemini-embedding-001", "llm/v1/embeddings", {"input": ["one", "two", "three"]}),
)
