"""The custom provider's cases for the conformance suite."""

from collections.abc import Sequence

from modelserving.v1.external_model_pb2 import (
    ApiKeyAuth,
    BearerTokenAuth,
    CustomProviderConfig,
    ExternalModel,
)

from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.openai.azure import DEPLOYMENTS
from tests.emulators.openai.server import API_KEY, OpenAiEmulator

_CHAT: JsonObject = {"messages": [{"role": "user", "content": "one two three"}]}
_COMPLETION: JsonObject = {"prompt": "one two three"}
_EMBEDDING: JsonObject = {"input": ["one", "two"]}
_ROUTES = (
    ("llm/v1/chat", "gpt-4", _CHAT, "chat/completions"),
    ("llm/v1/completions", "gpt-3.5-turbo-instruct", _COMPLETION, "completions"),
    ("llm/v1/embeddings", "text-embedding-3-small", _EMBEDDING, "embeddings"),
)


def _with_token(task: str, name: str, body: JsonObject, route: str) -> ProviderCase:
    def model(origin: str) -> ExternalModel:
        config = CustomProviderConfig(
            custom_provider_url=f"{origin}/v1/{route}",
            bearer_token_auth=BearerTokenAuth(token_plaintext=API_KEY),
        )
        return ExternalModel(name=name, provider="custom", task=task, custom_provider_config=config)

    streams = task != "llm/v1/embeddings"
    return ProviderCase("custom", task, streams, model, OpenAiEmulator, body, secret=API_KEY)


def _with_key() -> ProviderCase:
    task, _, body, route = _ROUTES[0]
    deployment = next(iter(DEPLOYMENTS))

    def model(origin: str) -> ExternalModel:
        path = f"openai/deployments/{deployment}/{route}?api-version=2024-10-21"
        config = CustomProviderConfig(
            custom_provider_url=f"{origin}/{path}",
            api_key_auth=ApiKeyAuth(key="api-key", value_plaintext=API_KEY),
        )
        name = DEPLOYMENTS[deployment]
        return ExternalModel(name=name, provider="custom", task=task, custom_provider_config=config)

    return ProviderCase(
        provider="custom",
        task=task,
        streams=True,
        model=model,
        emulator=OpenAiEmulator,
        body=body,
        variant="key",
        secret=API_KEY,
    )


CASES: Sequence[ProviderCase] = (*(_with_token(*route) for route in _ROUTES), _with_key())
