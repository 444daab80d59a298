"""What is peculiar to the custom provider; the conformance suite does the rest."""

import json

import pytest
from modelserving.v1.external_model_pb2 import (
    ApiKeyAuth,
    BearerTokenAuth,
    CustomProviderConfig,
    ExternalModel,
)

from modelplane.adapters.providers.credentials.cache import NO_CREDENTIAL
from modelplane.adapters.providers.custom.provider import build_custom_adapter
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.openai.provider import OpenAiAdapter
from modelplane.adapters.providers.types import Query

URL = "https://models.example.com/api/chat?tenant=a%2Fb"
TOKEN = "very-secret"


def build(
    url: str = URL, task: str = "llm/v1/chat", auth: BearerTokenAuth | ApiKeyAuth | None = None
) -> OpenAiAdapter:
    config = CustomProviderConfig(custom_provider_url=url)
    if isinstance(auth, ApiKeyAuth):
        config.api_key_auth.CopyFrom(auth)
    else:
        config.bearer_token_auth.CopyFrom(auth or BearerTokenAuth(token_plaintext=TOKEN))
    return build_custom_adapter(
        ExternalModel(name="llama", provider="custom", task=task, custom_provider_config=config)
    )


def key_auth(name: str) -> ApiKeyAuth:
    return ApiKeyAuth(key=name, value_plaintext=TOKEN)


def test_the_url_is_used_as_it_is() -> None:
    (request,) = build().plan(Query({"n": 1, "top_k": 5}, stream=False), {}).requests
    assert request.url == URL
    assert json.loads(request.body) == {"n": 1, "top_k": 5, "model": "llama"}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_key_goes_into_the_named_header() -> None:
    (request,) = build(auth=key_auth("X-Api-Key")).plan(Query({}, stream=False), {}).requests
    assert request.headers == {"x-api-key": TOKEN, "content-type": "application/json"}


@pytest.mark.parametrize(
    "name",
    ["", "host", "User-Agent", "Content-Length", "transfer-encoding", "x y", "x\r\ny", "é", "a:b"],
)
def test_a_header_that_cannot_carry_a_key_is_refused(name: str) -> None:
    with pytest.raises(ConfigRefused, match=r"api_key_auth\.key") as caught:
        build(auth=key_auth(name))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://host/x", "https://", "http://host:99999/", "nonsense"])
def test_a_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigRefused, match="custom_provider_url"):
        build(url)


def test_a_missing_credential_and_an_unknown_task_are_refused() -> None:
    with pytest.raises(ConfigRefused, match=r"bearer_token_auth\.token"):
        build(auth=BearerTokenAuth())
    with pytest.raises(ConfigRefused, match="llm/v1/paint"):
        build(task="llm/v1/paint")


def test_a_request_says_what_no_answer_may_repeat() -> None:
    adapter = build(auth=key_auth("x-api-key"))
    (request,) = adapter.plan(Query({"messages": []}, stream=False), {}).requests
    assert adapter.signer.sign(request, NO_CREDENTIAL, 0).secrets == (TOKEN,)
