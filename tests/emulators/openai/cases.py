"""OpenAI's cases for the conformance suite, those of Azure among them."""

from collections.abc import Sequence

from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig

from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.openai import entra
from tests.emulators.openai.azure import DEPLOYMENTS
from tests.emulators.openai.server import API_KEY, OpenAiEmulator

_CHAT: JsonObject = {"messages": [{"role": "user", "content": "one two three"}], "n": 2}
_COMPLETION: JsonObject = {"prompt": "one two three"}
_EMBEDDING: JsonObject = {"input": ["one", "two"]}
_TASKS = (
    ("llm/v1/chat", "gpt-4", _CHAT),
    ("llm/v1/completions", "gpt-3.5-turbo-instruct", _COMPLETION),
    ("llm/v1/embeddings", "text-embedding-3-small", _EMBEDDING),
)


def _openai(task: str, name: str, body: JsonObject) -> ProviderCase:
    def model(origin: str) -> ExternalModel:
        config = OpenAiConfig(openai_api_base=f"{origin}/v1", openai_api_key_plaintext=API_KEY)
        return ExternalModel(name=name, provider="openai", task=task, openai_config=config)

    streams = task != "llm/v1/embeddings"
    return ProviderCase("openai", task, streams, model, OpenAiEmulator, body, secret=API_KEY)


def _azure(task: str, deployment: str, body: JsonObject) -> ProviderCase:
    def model(origin: str) -> ExternalModel:
        config = OpenAiConfig(
            openai_api_type="azure",
            openai_api_base=origin,
            openai_api_version="2024-10-21",
            openai_deployment_name=deployment,
            openai_api_key_plaintext=API_KEY,
        )
        name = DEPLOYMENTS[deployment]
        return ExternalModel(name=name, provider="openai", task=task, openai_config=config)

    return ProviderCase(
        "openai",
        task,
        task != "llm/v1/embeddings",
        model,
        OpenAiEmulator,
        body,
        variant="azure",
        secret=API_KEY,
    )


def _entra() -> ProviderCase:
    deployment, (task, _, body) = next(zip(DEPLOYMENTS, _TASKS, strict=True))

    def model(origin: str) -> ExternalModel:
        config = OpenAiConfig(
            openai_api_type="azuread",
            openai_api_base=origin,
            openai_api_version="2024-10-21",
            openai_deployment_name=deployment,
            microsoft_entra_tenant_id=entra.TENANT,
            microsoft_entra_client_id=entra.CLIENT_ID,
            microsoft_entra_client_secret_plaintext=entra.CLIENT_SECRET,
        )
        name = DEPLOYMENTS[deployment]
        return ExternalModel(name=name, provider="openai", task=task, openai_config=config)

    return ProviderCase(
        provider="openai",
        task=task,
        streams=True,
        model=model,
        emulator=OpenAiEmulator,
        body=body,
        origins=lambda origin: {"https://login.microsoftonline.com": origin},
        variant="entra",
        secret=entra.FIRST_TOKEN,
    )


CASES: Sequence[ProviderCase] = (
    _entra(),
    *(_openai(task, name, body) for task, name, body in _TASKS),
    *(
        _azure(task, deployment, body)
        for deployment, (task, _, body) in zip(DEPLOYMENTS, _TASKS, strict=True)
    ),
)
