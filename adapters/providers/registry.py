"""Which adapter serves which provider: one literal table, one row for each provider."""

from collections.abc import Callable, Mapping

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.ai21labs.provider import build_ai21labs_adapter
from modelplane.adapters.providers.amazon_bedrock.provider import build_amazon_bedrock_adapter
from modelplane.adapters.providers.anthropic.provider import build_anthropic_adapter
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.cohere.provider import build_cohere_adapter
from modelplane.adapters.providers.custom.provider import build_custom_adapter
from modelplane.adapters.providers.databricks_model_serving.provider import build_databricks_adapter
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from modelplane.adapters.providers.openai.provider import build_openai_adapter

AdapterFactory = Callable[[ExternalModel], Adapter]

FACTORIES: Mapping[str, AdapterFactory] = {
    "openai": build_openai_adapter,
    "anthropic": build_anthropic_adapter,
    "cohere": build_cohere_adapter,
    "ai21labs": build_ai21labs_adapter,
    "amazon-bedrock": build_amazon_bedrock_adapter,
    "google-cloud-vertex-ai": build_vertex_adapter,
    "databricks-model-serving": build_databricks_adapter,
    "custom": build_custom_adapter,
}

# What OpenTelemetry's conventions call a provider, where that differs.
SEMANTIC_NAMES: Mapping[str, str] = {
    "amazon-bedrock": "aws.bedrock",
    "google-cloud-vertex-ai": "gcp.vertex_ai",
}


def build_adapter(model: ExternalModel) -> Adapter:
    """Return the adapter of an external model.

    Raises:
        ConfigRefused: The provider is unknown or its configuration cannot work.
    """
    factory = FACTORIES.get(model.provider)
    if factory is None:
        raise ConfigRefused(f"provider '{model.provider}' is unknown")
    return factory(model)
