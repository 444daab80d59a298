"""Bedrock's cases for the conformance suite."""

from collections.abc import Sequence

from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.amazon_bedrock.configs import external_model, origins
from tests.emulators.amazon_bedrock.server import BedrockEmulator
from tests.emulators.amazon_bedrock.signature import KEY

_CHAT: JsonObject = {"messages": [{"role": "user", "content": "one two three"}]}
_COMPLETION: JsonObject = {"prompt": "one two three"}
_EMBEDDING: JsonObject = {"input": ["one", "two"]}


def _case(task: str, name: str, family: str, body: JsonObject, *, streams: bool) -> ProviderCase:
    return ProviderCase(
        "amazon-bedrock",
        f"llm/v1/{task}",
        streams,
        lambda _: external_model(name, family, task),
        BedrockEmulator,
        body,
        origins=origins,
        variant=name,
        secret=KEY.secret,
    )


CASES: Sequence[ProviderCase] = (
    _case("chat", "claude-3-sonnet-20240229-v1:0", "Anthropic", _CHAT, streams=True),
    _case("chat", "command-r-v1:0", "Cohere", _CHAT, streams=True),
    _case("completions", "claude-v2", "anthropic", _COMPLETION, streams=True),
    _case("completions", "claude-3-haiku-20240307-v1:0", "anthropic", _COMPLETION, streams=True),
    _case("completions", "command-text-v14", "cohere", _COMPLETION, streams=True),
    _case("completions", "j2-mid", "AI21Labs", _COMPLETION, streams=False),
    _case("completions", "titan-text-express-v1", "amazon", _COMPLETION, streams=True),
    _case("completions", "nova-lite-v1:0", "amazon", _COMPLETION, streams=True),
    _case("completions", "llama3-8b-instruct-v1:0", "meta", _COMPLETION, streams=True),
    _case("embeddings", "titan-embed-text-v1", "Amazon", _EMBEDDING, streams=False),
    _case("embeddings", "embed-english-v3", "Cohere", _EMBEDDING, streams=False),
)
