"""The official client of the Gemini API, unmodified, against models of other providers."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google import genai
from google.genai import errors, types

from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

PREFIXES = ("/serving-endpoints/gemini", "/ai-gateway/gemini")
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Tells the weather.",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"city": types.Schema(type=types.Type.STRING, nullable=True)},
            ),
        )
    ]
)


@pytest.fixture(params=PREFIXES)
def client(
    request: pytest.FixtureRequest, system: System, rest: Rest, provider: OpenAiEmulator
) -> Iterator[genai.Client]:
    """Give the client, and an endpoint for chats and one for embeddings."""
    rest.create(endpoint("talk", entity(provider)))
    vectors = entity(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
    rest.create(endpoint("vectors", vectors))
    options = types.HttpOptions(base_url=f"{system.url}{request.param}")
    with genai.Client(api_key=system.token, http_options=options) as made:
        yield made


def test_a_generation(client: genai.Client, provider: OpenAiEmulator) -> None:
    answer = client.models.generate_content(
        model="talk",
        contents="hello there",
        config=types.GenerateContentConfig(
            system_instruction="Be brief.", max_output_tokens=100, temperature=0.5
        ),
    )
    assert answer.text == "gpt-4 heard: hello there"
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == "talk"
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.prompt_token_count
    assert usage.total_token_count == usage.prompt_token_count + (usage.candidates_token_count or 0)
    sent = provider.requests[-1].body
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["max_completion_tokens"], sent["temperature"]) == (100, 0.5)


def test_a_stream(client: genai.Client) -> None:
    events = list(client.models.generate_content_stream(model="talk", contents="hello there"))
    assert "".join(event.text or "" for event in events) == "gpt-4 heard: hello there"
    last = events[-1]
    assert last.candidates
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.candidates_token_count


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_is_called_and_its_result_comes_back(
    client: genai.Client, provider: OpenAiEmulator, *, streams: bool
) -> None:
    calling = types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
    )
    config = types.GenerateContentConfig(
        tools=[WEATHER], tool_config=types.ToolConfig(function_calling_config=calling)
    )
    question = types.Content(role="user", parts=[types.Part(text="call get_weather")])
    if streams:
        events = client.models.generate_content_stream(
            model="talk", contents=[question], config=config
        )
        calls = [call for event in events for call in event.function_calls or ()]
    else:
        answer = client.models.generate_content(model="talk", contents=[question], config=config)
        calls = answer.function_calls or []
    (call,) = calls
    assert call.name == "get_weather"
    assert isinstance(call.args, dict)
    declared = provider.requests[-1].body["tools"][0]["function"]["parameters"]
    assert declared["properties"]["city"]["type"] == ["string", "null"]
    # As older clients send it: without identifiers.
    called = types.FunctionCall(name=call.name, args=call.args)
    result = types.FunctionResponse(name=call.name, response={"sky": "rain"})
    client.models.generate_content(
        model="talk",
        contents=[
            question,
            types.Content(role="model", parts=[types.Part(function_call=called)]),
            types.Content(role="user", parts=[types.Part(function_response=result)]),
        ],
        config=types.GenerateContentConfig(tools=[WEATHER]),
    )
    sent = provider.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]
    assert sent[2]["content"] == '{"sky":"rain"}'


def test_tokens_models_and_embeddings(client: genai.Client) -> None:
    counted = client.models.count_tokens(model="talk", contents="hello there" * 100)
    assert counted.total_tokens
    assert 200 < counted.total_tokens < 400
    assert "models/talk" in [model.name for model in client.models.list()]
    embedded = client.models.embed_content(model="vectors", contents=["one", "two"])
    assert embedded.embeddings is not None
    assert len(embedded.embeddings) == 2
    assert embedded.embeddings[0].values


def test_errors_are_googles(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        client.models.generate_content(model="nobody", contents="a")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(
            model="talk",
            contents="a",
            config=types.GenerateContentConfig(
                tools=[types.Tool(google_search=types.GoogleSearch())]
            ),
        )
    assert refused.value.status == "INVALID_ARGUMENT"
    assert "googleSearch" in str(refused.value)


def test_what_openai_does_not_know_is_left_out_and_told(
    client: genai.Client, provider: OpenAiEmulator
) -> None:
    # As Gemini CLI sends it with every request.
    config = types.GenerateContentConfig(top_k=64, top_p=0.95)
    answer = client.models.generate_content(model="talk", contents="hello", config=config)
    assert answer.text == "gpt-4 heard: hello"
    sent = provider.requests[-1].body
    assert "top_k" not in sent
    assert sent["top_p"] == 0.95
    assert answer.sdk_http_response is not None
    headers = answer.sdk_http_response.headers or {}
    assert headers["x-modelplane-adapted-params"] == "top_k=dropped"


def test_a_stream_without_events_is_an_array(system: System, client: genai.Client) -> None:
    assert client
    url = f"{system.url}/ai-gateway/gemini/v1beta/models/talk:streamGenerateContent"
    headers = {"x-goog-api-key": system.token}
    asked: dict[str, Any] = {"contents": [{"parts": [{"text": "hello there"}]}]}
    answer = requests.post(url, json=asked, headers=headers, timeout=120)
    assert answer.headers["content-type"].startswith("application/json")
    members = answer.json()
    parts = [part for one in members for part in one["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "gpt-4 heard: hello there"
    assert members[-1]["usageMetadata"]["promptTokenCount"] > 0
    refused = requests.post(url, json={}, headers=headers, timeout=120)
    assert refused.status_code == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
