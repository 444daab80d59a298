"""Every printed configuration of external models: accepted as it is, and right on the wire."""

from collections.abc import Mapping

import pytest

from tests.e2e.rest import ENDPOINTS, Rest
from tests.emulators import amazon_bedrock, anthropic, openai
from tests.emulators.fleet import Fleet
from tests.requirements.documents import assert_contains
from tests.requirements.examples import Example, printed_examples
from tests.requirements.wire import CHAT, EMBEDDING, QUERIES, Wire

EXAMPLES = printed_examples()
_BEARER = {"authorization": f"Bearer {openai.API_KEY}"}
_ANTHROPIC = {"x-api-key": anthropic.API_KEY, "anthropic-version": "2023-06-01"}
_REGION = amazon_bedrock.REGION
_SIGNATURE = (
    f"AWS4-HMAC-SHA256 Credential={amazon_bedrock.KEY.key_id}/[0-9]{{8}}/{_REGION}/bedrock/"
    "aws4_request, SignedHeaders=[a-z;-]+, Signature=[0-9a-f]{64}"
)
_PROMPT = "\n\nHuman: what is databricks\n\nAssistant:"
# By the model's name: no two documents mean different things by one.
WIRES: Mapping[str, Wire] = {
    "text-embedding-ada-002": Wire(
        "openai",
        "api.openai.com",
        "/v1/embeddings",
        _BEARER,
        {"model": "text-embedding-ada-002", **EMBEDDING},
    ),
    "gpt-4": Wire(
        "openai", "api.openai.com", "/v1/chat/completions", _BEARER, {"model": "gpt-4", **CHAT}
    ),
    "gpt-3.5-turbo": Wire(
        "openai",
        "my-azure-openai-endpoint.openai.azure.com",
        "/openai/deployments/my-gpt-35-turbo-deployment/chat/completions",
        {"api-key": openai.API_KEY},
        CHAT,
        {"api-version": "2023-05-15"},
    ),
    "claude-2": Wire(
        "anthropic",
        "api.anthropic.com",
        "/v1/complete",
        _ANTHROPIC,
        {"model": "claude-2", "prompt": _PROMPT, "max_tokens_to_sample": 64},
    ),
    "claude-3-opus-20240229": Wire(
        "anthropic",
        "api.anthropic.com",
        "/v1/messages",
        _ANTHROPIC,
        {"model": "claude-3-opus-20240229", **CHAT},
    ),
    "claude-v2": Wire(
        "amazon-bedrock",
        f"bedrock-runtime.{_REGION}.amazonaws.com",
        "/model/anthropic.claude-v2/invoke",
        {"authorization": _SIGNATURE, "x-amz-date": "[0-9]{8}T[0-9]{6}Z"},
        {"prompt": _PROMPT, "max_tokens_to_sample": 64},
    ),
}


def creation_of(example: Example) -> Example:
    """Return the example that creates the endpoint of an example."""
    (creation,) = (
        one
        for one in EXAMPLES
        if one.creates and (one.document, one.endpoint) == (example.document, example.endpoint)
    )
    return creation


def test_there_are_examples() -> None:
    assert {example.document for example in EXAMPLES} == {
        "create-endpoints",
        "external-models",
        "multiple-models",
    }
    names = [served["external_model"]["name"] for one in EXAMPLES for served in one.served_entities]
    assert set(names) == set(WIRES)


@pytest.mark.parametrize(
    "example",
    EXAMPLES,
    ids=lambda one: f"{one.document}/{one.endpoint}/{'create' if one.creates else 'update'}",
)
def test_an_example_is_accepted_and_reaches_its_provider(
    example: Example, rest: Rest, fleet: Fleet
) -> None:
    answer = rest.create(creation_of(example).body)
    if not example.creates:
        path = f"{ENDPOINTS}/{example.endpoint}/config"
        answer = rest.call("PUT", path, example.body)
    assert answer["state"]["ready"] == "READY"
    served = answer["config"]["served_entities"]
    assert_contains(served, example.served_entities)
    for entity in served:
        model = entity["external_model"]
        path = f"/serving-endpoints/{example.endpoint}/served-models/{entity['name']}/invocations"
        rest.call("POST", path, QUERIES[model["task"]])
        wire = WIRES[model["name"]]
        emulator = fleet.emulators[wire.emulator]
        wire.check(emulator.requests[-1], emulator.origin)
