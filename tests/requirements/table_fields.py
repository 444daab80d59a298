"""A configuration for every field that the documents' tables name, and what follows on the wire.

`test_documented_fields.py` runs them. Credentials stand here as plain text; the test gives them as
references, too. `{origin}` is where the provider's emulator is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.e2e.rest import Json
from tests.emulators import (
    ai21labs,
    amazon_bedrock,
    anthropic,
    cohere,
    databricks_model_serving,
    google_cloud_vertex_ai,
    openai,
)
from tests.emulators.openai import entra
from tests.requirements.wire import CHAT, COMPLETION, EMBEDDING, Wire

_CHAT, _COMPLETIONS, _EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
_KEY, _TEMPORARY = amazon_bedrock.KEY, amazon_bedrock.TEMPORARY_KEY
_REGION, _PROJECT = amazon_bedrock.REGION, google_cloud_vertex_ai.PROJECT
_AZURE = {
    "openai_api_base": "https://my-azure-openai-endpoint.openai.azure.com",
    "openai_api_version": "2024-10-21",
    "openai_deployment_name": "my-embeddings-deployment",
    # Documented for Azure, too, and so it is sent there.
    "openai_organization": "org-emulated",
}
_AZURE_HOST = "my-azure-openai-endpoint.openai.azure.com"
_AZURE_PATH = "/openai/deployments/my-embeddings-deployment/embeddings"
_ORGANIZATION = {"openai-organization": "org-emulated"}
_AZURE_QUERY = {"api-version": "2024-10-21"}


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration.

    Attributes:
        name: Identifies the case in test reports.
        task: Task of the model.
        model: Name of the model.
        config_name: Name of the configuration's field in an external model.
        config: The provider's configuration.
        wire: The request that a query must lead to.
    """

    name: str
    task: str
    model: str
    config_name: str
    config: Json = field(repr=False)
    wire: Wire

    def external_model(self, origin: str) -> Json:
        """Return the external model whose provider is at an origin."""
        config = {
            name: value.replace("{origin}", origin) if isinstance(value, str) else value
            for name, value in self.config.items()
        }
        return {
            "name": self.model,
            "provider": self.wire.emulator,
            "task": self.task,
            self.config_name: config,
        }


def _signature(key: amazon_bedrock.AccessKey) -> Mapping[str, str]:
    return {
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={key.key_id}/[0-9]{{8}}/{_REGION}/bedrock/aws4_request, "
            "SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}"
        ),
        "x-amz-date": "[0-9]{8}T[0-9]{6}Z",
    }


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


CASES: Sequence[Case] = (
    Case(
        "openai",
        _CHAT,
        "gpt-4o-mini",
        "openai_config",
        {
            "openai_api_key_plaintext": openai.API_KEY,
            "openai_api_type": "openai",
            "openai_api_base": "{origin}/v1",
            "openai_organization": "org-emulated",
        },
        Wire(
            "openai",
            "",
            "/v1/chat/completions",
            {**_bearer(openai.API_KEY), **_ORGANIZATION},
            {"model": "gpt-4o-mini", **CHAT},
        ),
    ),
    Case(
        "openai with a version",
        _COMPLETIONS,
        "gpt-3.5-turbo-instruct",
        "openai_config",
        {"openai_api_key_plaintext": openai.API_KEY, "openai_api_version": "2024-10-21"},
        Wire(
            "openai",
            "api.openai.com",
            "/v1/completions",
            _bearer(openai.API_KEY),
            {"model": "gpt-3.5-turbo-instruct", **COMPLETION},
            _AZURE_QUERY,
        ),
    ),
    Case(
        "azure",
        _EMBEDDINGS,
        "text-embedding-3-small",
        "openai_config",
        {**_AZURE, "openai_api_type": "azure", "openai_api_key_plaintext": openai.API_KEY},
        Wire(
            "openai",
            _AZURE_HOST,
            _AZURE_PATH,
            {"api-key": openai.API_KEY, **_ORGANIZATION},
            EMBEDDING,
            _AZURE_QUERY,
        ),
    ),
    Case(
        "azure with Entra ID",
        _EMBEDDINGS,
        "text-embedding-3-small",
        "openai_config",
        {
            **_AZURE,
            "openai_api_type": "azuread",
            "microsoft_entra_tenant_id": entra.TENANT,
            "microsoft_entra_client_id": entra.CLIENT_ID,
            "microsoft_entra_client_secret_plaintext": entra.CLIENT_SECRET,
        },
        Wire(
            "openai",
            _AZURE_HOST,
            _AZURE_PATH,
            {**_bearer("entra-token-[0-9]+"), **_ORGANIZATION},
            EMBEDDING,
            _AZURE_QUERY,
        ),
    ),
    Case(
        "anthropic",
        _CHAT,
        "claude-3-haiku-20240307",
        "anthropic_config",
        {"anthropic_api_key_plaintext": anthropic.API_KEY},
        Wire(
            "anthropic",
            "api.anthropic.com",
            "/v1/messages",
            {"x-api-key": anthropic.API_KEY, "anthropic-version": "2023-06-01"},
            {"model": "claude-3-haiku-20240307", **CHAT},
        ),
    ),
    Case(
        "cohere",
        _CHAT,
        "command-r",
        "cohere_config",
        {"cohere_api_key_plaintext": cohere.API_KEY, "cohere_api_base": "{origin}"},
        Wire(
            "cohere",
            "",
            "/v2/chat",
            _bearer(cohere.API_KEY),
            {"model": "command-r", "stream": False, **CHAT},
        ),
    ),
    Case(
        "ai21labs",
        _COMPLETIONS,
        "j2-mid",
        "ai21labs_config",
        {"ai21labs_api_key_plaintext": ai21labs.API_KEY},
        Wire(
            "ai21labs",
            "api.ai21.com",
            "/studio/v1/j2-mid/complete",
            _bearer(ai21labs.API_KEY),
            {"prompt": "what is databricks", "maxTokens": 64},
        ),
    ),
    Case(
        "amazon-bedrock, its provider in another case",
        _EMBEDDINGS,
        "titan-embed-text-v1",
        "amazon_bedrock_config",
        {
            "aws_region": _REGION,
            "aws_access_key_id_plaintext": _KEY.key_id,
            "aws_secret_access_key_plaintext": _KEY.secret,
            "bedrock_provider": "aMAZON",
        },
        Wire(
            "amazon-bedrock",
            f"bedrock-runtime.{_REGION}.amazonaws.com",
            "/model/amazon.titan-embed-text-v1/invoke",
            _signature(_KEY),
            {"inputText": "what is databricks"},
        ),
    ),
    Case(
        "amazon-bedrock with a session token",
        _EMBEDDINGS,
        "titan-embed-text-v1",
        "amazon_bedrock_config",
        {
            "aws_region": _REGION,
            "aws_access_key_id_plaintext": _TEMPORARY.key_id,
            "aws_secret_access_key_plaintext": _TEMPORARY.secret,
            "aws_session_token_plaintext": _TEMPORARY.token,
            "bedrock_provider": "Amazon",
        },
        Wire(
            "amazon-bedrock",
            f"bedrock-runtime.{_REGION}.amazonaws.com",
            "/model/amazon.titan-embed-text-v1/invoke",
            {**_signature(_TEMPORARY), "x-amz-security-token": _TEMPORARY.token},
            {"inputText": "what is databricks"},
        ),
    ),
    Case(
        "google-cloud-vertex-ai",
        _EMBEDDINGS,
        "textembedding-gecko",
        "google_cloud_vertex_ai_config",
        {
            "private_key_plaintext": google_cloud_vertex_ai.KEY_FILE,
            "project_id": _PROJECT,
            "region": "us-central1",
        },
        Wire(
            "google-cloud-vertex-ai",
            "us-central1-aiplatform.googleapis.com",
            f"/v1/projects/{_PROJECT}/locations/us-central1/publishers/google/models/"
            "textembedding-gecko:predict",
            _bearer(r"ya29\.emulated-[0-9]+"),
            {"instances": [{"content": "what is databricks"}]},
        ),
    ),
    Case(
        "databricks-model-serving",
        _COMPLETIONS,
        "their-completions",
        "databricks_model_serving_config",
        {
            "databricks_workspace_url": "{origin}",
            "databricks_api_token_plaintext": databricks_model_serving.TOKEN,
        },
        Wire(
            "databricks-model-serving",
            "",
            "/serving-endpoints/their-completions/invocations",
            _bearer(databricks_model_serving.TOKEN),
            COMPLETION,
        ),
    ),
)
