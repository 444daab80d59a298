"""The provider's cases for the conformance suite."""

from collections.abc import Sequence

from modelserving.v1.external_model_pb2 import DatabricksModelServingConfig, ExternalModel

from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.conformance import ProviderCase
from tests.emulators.databricks_model_serving.server import TOKEN, DatabricksEmulator

_TASKS: tuple[tuple[str, str, JsonObject], ...] = (
    (
        "llm/v1/chat",
        "their-chat",
        {"messages": [{"role": "user", "content": "one two three"}], "n": 2},
    ),
    ("llm/v1/completions", "their-completions", {"prompt": "one two three"}),
    ("llm/v1/embeddings", "their-embeddings", {"input": ["one", "two"]}),
)


def _case(task: str, name: str, body: JsonObject) -> ProviderCase:
    def model(origin: str) -> ExternalModel:
        config = DatabricksModelServingConfig(
            databricks_workspace_url=f"{origin}/", databricks_api_token_plaintext=TOKEN
        )
        return ExternalModel(
            name=name,
            provider="databricks-model-serving",
            task=task,
            databricks_model_serving_config=config,
        )

    streams = task != "llm/v1/embeddings"
    provider = "databricks-model-serving"
    return ProviderCase(provider, task, streams, model, DatabricksEmulator, body, secret=TOKEN)


CASES: Sequence[ProviderCase] = tuple(_case(*one) for one in _TASKS)
