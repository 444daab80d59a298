"""The examples of "External models in Mosaic AI Model Serving"."""

from typing import Any

import pytest
from openai import OpenAI

from tests.e2e.rest import CHAT, Rest
from tests.emulators.amazon_bedrock import REGION, BedrockEmulator
from tests.emulators.anthropic import AnthropicEmulator
from tests.emulators.openai import OpenAiEmulator
from tests.requirements.documents import assert_contains

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def test_anthropic_example(
    client: Any, openai_client: OpenAI, anthropic_provider: AnthropicEmulator
) -> None:
    endpoint = client.create_endpoint(
        name="anthropic-completions-endpoint",
        config={
            "served_entities": [
                {
                    "name": "test",
                    "external_model": {
                        "name": "claude-2",
                        "provider": "anthropic",
                        "task": "llm/v1/completions",
                        "anthropic_config": {
                            "anthropic_api_key": (
                                "{{secrets/my_anthropic_secret_scope/anthropic_api_key}}"
                            )
                        },
                    },
                }
            ]
        },
    )
    assert endpoint.state["ready"] == "READY"
    assert endpoint.task == "llm/v1/completions"
    completion = openai_client.completions.create(
        model="anthropic-completions-endpoint", prompt="what is databricks", temperature=1.0
    )
    assert completion.choices[0].text == " claude-2 continues: what is databricks"
    assert completion.model == "anthropic-completions-endpoint"
    sent = anthropic_provider.requests[-1]
    assert sent.path == "/v1/complete"
    assert sent.headers["host"] == "api.anthropic.com"
    assert sent.headers["x-api-key"] == anthropic_provider.api_key
    assert sent.body == {
        "model": "claude-2",
        "prompt": "\n\nHuman: what is databricks\n\nAssistant:",
        "max_tokens_to_sample": 4096,
        "temperature": 1.0,
    }


def test_the_printed_query_over_openai(
    client: Any, openai_client: OpenAI, provider: OpenAiEmulator
) -> None:
    """Query as printed, with the model behind the endpoint changed to one that can answer."""
    client.create_endpoint(
        name="anthropic-completions-endpoint",
        config={
            "served_entities": [
                {
                    "name": "test",
                    "external_model": {
                        "name": "gpt-3.5-turbo-instruct",
                        "provider": "openai",
                        "task": "llm/v1/completions",
                        "openai_config": {
                            "openai_api_key": "{{secrets/my_openai_secret_scope/openai_api_key}}",
                            "openai_api_base": provider.url,
                        },
                    },
                }
            ]
        },
    )
    completion = openai_client.completions.create(
        model="anthropic-completions-endpoint", prompt="what is databricks", temperature=1.0
    )
    answer = completion.model_dump()
    assert_contains(
        answer,
        {
            "id": ...,
            "model": "anthropic-completions-endpoint",
            "choices": [{"text": ..., "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "total_tokens": ...},
        },
    )
    assert "what is databricks" in answer["choices"][0]["text"]


def test_azure_example(client: Any, rest: Rest, provider: OpenAiEmulator) -> None:
    config = {
        "served_entities": [
            {
                "external_model": {
                    "name": "gpt-3.5-turbo",
                    "provider": "openai",
                    "task": "llm/v1/chat",
                    "openai_config": {
                        "openai_api_type": "azure",
                        "openai_api_key": "{{secrets/my_openai_secret_scope/openai_api_key}}",
                        "openai_api_base": "https://my-azure-openai-endpoint.openai.azure.com",
                        "openai_deployment_name": "my-gpt-35-turbo-deployment",
                        "openai_api_version": "2023-05-15",
                    },
                }
            }
        ]
    }
    endpoint = client.create_endpoint(name="openai-chat-endpoint", config=config)
    assert endpoint.state["ready"] == "READY"
    served = endpoint.config["served_entities"][0]
    assert served["name"] == "gpt-3-5-turbo"
    expected: Any = config["served_entities"][0]["external_model"]
    assert served["external_model"] == expected

    # The base URL of the document is a stranger's; the emulator's takes its place for the query.
    expected["openai_config"]["openai_api_base"] = provider.origin
    client.update_endpoint(endpoint="openai-chat-endpoint", config=config)
    answer = rest.query("openai-chat-endpoint", CHAT)
    assert answer.json()["choices"][0]["message"]["content"] == "gpt-3.5-turbo heard: hello there"
    sent = provider.requests[-1]
    assert sent.path == "/openai/deployments/my-gpt-35-turbo-deployment/chat/completions"
    assert sent.query == {"api-version": "2023-05-15"}
    assert sent.headers["api-key"] == provider.api_key
    assert "authorization" not in {name.lower() for name in sent.headers}


def test_bedrock_example(client: Any, rest: Rest, bedrock_provider: BedrockEmulator) -> None:
    config = {
        "served_entities": [
            {
                "external_model": {
                    "name": "claude-v2",
                    "provider": "amazon-bedrock",
                    "task": "llm/v1/completions",
                    "amazon_bedrock_config": {
                        # The document leaves the region to its reader.
                        "aws_region": REGION,
                        "aws_access_key_id": (
                            "{{secrets/my_amazon_bedrock_secret_scope/aws_access_key_id}}"
                        ),
                        "aws_secret_access_key": (
                            "{{secrets/my_amazon_bedrock_secret_scope/aws_secret_access_key}}"
                        ),
                        "bedrock_provider": "anthropic",
                    },
                }
            }
        ]
    }
    endpoint = client.create_endpoint(name="bedrock-anthropic-completions-endpoint", config=config)
    assert endpoint.state["ready"] == "READY"
    answer = rest.query("bedrock-anthropic-completions-endpoint", {"prompt": "hello"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["text"]
    # The emulator has checked the signature with AWS's own signer.
    assert bedrock_provider.requests[-1].path == "/model/anthropic.claude-v2/invoke"


@pytest.mark.parametrize(
    ("field", "value"),
    [("logit_bias", {"50256": -100}), ("frequency_penalty", 0.5), ("presence_penalty", 0.5)],
)
def test_additional_query_parameters_reach_the_provider(
    client: Any, provider: OpenAiEmulator, field: str, value: object
) -> None:
    served = {
        "name": "gpt-4",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {
            "openai_api_key": "{{secrets/my_openai_secret_scope/openai_api_key}}",
            "openai_api_base": provider.url,
        },
    }
    client.create_endpoint(
        name="extra", config={"served_entities": [{"name": "a", "external_model": served}]}
    )
    client.predict(endpoint="extra", inputs=CHAT | {field: value})
    assert provider.requests[-1].body[field] == value


def test_a_model_that_the_provider_lacks_is_the_callers_error(
    client: Any, rest: Rest, provider: OpenAiEmulator
) -> None:
    served = {
        "name": "claude-2",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {
            "openai_api_key": "{{secrets/my_openai_secret_scope/openai_api_key}}",
            "openai_api_base": provider.url,
        },
    }
    client.create_endpoint(
        name="unsupported", config={"served_entities": [{"external_model": served}]}
    )
    answer = rest.query("unsupported", CHAT)
    assert 400 <= answer.status_code < 500
    assert "claude-2" in answer.json()["message"]
