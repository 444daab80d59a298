"""The emulator proven by the official SDK, and its strictness by plain HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google import genai
from google.auth.transport.requests import Request
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as ServiceAccountCredentials

from tests.emulators.google_cloud_vertex_ai import KEY_FILE, PROJECT, VertexEmulator
from tests.emulators.google_cloud_vertex_ai.predict import vector

WEATHER = types.FunctionDeclaration(
    name="get_weather",
    parameters=types.Schema(
        type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}
    ),
)
TOKEN = "ya29.given"
# The SDK derives from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[VertexEmulator]:
    async with VertexEmulator() as running:
        running.tokens.valid.add(TOKEN)
        yield running


@pytest.fixture
async def client(emulator: VertexEmulator) -> AsyncIterator[genai.client.AsyncClient]:
    made = genai.Client(
        vertexai=True,
        project=PROJECT,
        location="us-central1",
        credentials=Credentials(token=TOKEN),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=emulator.origin, api_version="v1"),
    )
    yield made.aio
    await made.aio.aclose()


async def test_chat(client: genai.client.AsyncClient) -> None:
    answer = await client.models.generate_content(
        model="gemini-2.5-flash",
        contents="one two",
        config=types.GenerateContentConfig(
            system_instruction="be brief",
            temperature=0,
            candidate_count=2,
            seed=1,
            response_logprobs=True,
            logprobs=1,
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=128),
        ),
    )
    assert answer.candidates is not None
    assert answer.text == "gemini-2.5-flash heard: one two"
    assert len(answer.candidates) == 2
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.thoughts_token_count == 2 * 3
    assert answer.response_id


async def test_a_stream_adds_up_to_the_whole_answer(client: genai.client.AsyncClient) -> None:
    asked: Any = {"model": "gemini-1.5-pro", "contents": "one two three"}
    whole = await client.models.generate_content(**asked)
    chunks = [chunk async for chunk in await client.models.generate_content_stream(**asked)]
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert len(chunks) > 3


async def test_tools_and_their_results(client: genai.client.AsyncClient) -> None:
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[WEATHER])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    asked = types.UserContent("get_weather and get_weather")
    answer = await client.models.generate_content(
        model="gemini-3-pro-preview", contents=[asked], config=config
    )
    calls = answer.function_calls or []
    assert [call.name for call in calls] == ["get_weather", "get_weather"]
    assert answer.candidates is not None
    said = answer.candidates[0].content
    assert said is not None
    results = [
        types.Part.from_function_response(name="get_weather", response={"rain": n})
        for n in range(2)
    ]
    after = await client.models.generate_content(
        model="gemini-3-pro-preview",
        contents=[asked, said, types.UserContent(results)],
        config=config,
    )
    assert "rain" in (after.text or "")
    with pytest.raises(errors.ClientError, match="function response parts"):
        await client.models.generate_content(
            model="gemini-3-pro-preview",
            contents=[asked, said, types.UserContent(results[:1])],
            config=config,
        )
    for part in said.parts or []:
        part.thought_signature = None
    with pytest.raises(errors.ClientError, match="thought_signature"):
        await client.models.generate_content(
            model="gemini-3-pro-preview",
            contents=[asked, said, types.UserContent(results)],
            config=config,
        )


async def test_embeddings(client: genai.client.AsyncClient) -> None:
    texts: Any = ["one", "two words"]
    answer = await client.models.embed_content(model="text-embedding-005", contents=texts)
    assert [one.values for one in answer.embeddings or []] == [
        vector(text, "text-embedding-005") for text in texts
    ]
    with pytest.raises(errors.ClientError, match="not allowed"):
        await client.models.embed_content(model="textembedding-gecko@003", contents=texts * 3)
    with pytest.raises(errors.ClientError, match="token count"):
        await client.models.embed_content(
            model="text-embedding-005", contents=["word " * 20_001, "more"]
        )


async def test_the_embedding_of_one_content(client: genai.client.AsyncClient) -> None:
    config = types.EmbedContentConfig(output_dimensionality=3, task_type="RETRIEVAL_QUERY")
    model = "gemini-embedding-2"
    answer = await client.models.embed_content(model=model, contents="two words", config=config)
    (embedding,) = answer.embeddings or []
    assert embedding.values == vector("two words", model, 3)
    assert embedding.statistics is not None
    assert embedding.statistics.token_count == 2
    with pytest.raises(errors.ClientError):
        await client.models.embed_content(model=model, contents=types.Part(text=""))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.ClientError),
        (401, errors.ClientError),
        (429, errors.ClientError),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
async def test_errors_are_the_clients(
    client: genai.client.AsyncClient,
    emulator: VertexEmulator,
    status: int,
    expected: type[errors.APIError],
) -> None:
    emulator.fail(status=status)
    with pytest.raises(expected) as caught:
        await client.models.generate_content(model="gemini-pro", contents="x")
    assert caught.value.code == status


@pytest.mark.parametrize("word", ["BLOCKED", "UNSAFE", "MALFORMED"])
async def test_answers_that_are_none(client: genai.client.AsyncClient, word: str) -> None:
    answer = await client.models.generate_content(model="gemini-pro", contents=word)
    assert not answer.text
    if word == "BLOCKED":
        assert answer.prompt_feedback is not None
        assert answer.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    else:
        assert answer.candidates is not None
        assert answer.candidates[0].finish_reason is not types.FinishReason.STOP


async def test_the_token_endpoint_takes_what_googles_library_signs(
    emulator: VertexEmulator,
) -> None:
    uri = f"{emulator.origin}/token"
    emulator.tokens.audiences.add(uri)
    info = {**json.loads(KEY_FILE), "token_uri": uri}
    credentials = ServiceAccountCredentials.from_service_account_info(  # type: ignore[no-untyped-call]
        info, scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    request = Request()
    await asyncio.to_thread(credentials.refresh, request)
    request.session.close()
    assert credentials.token in emulator.tokens.valid


USER = {"role": "user", "parts": [{"text": "hi"}]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contents": [USER], "messages": []},
        {"contents": [USER], "generationConfig": {"max_tokens": 1}},
        {"contents": [USER], "generationConfig": {"temperature": 3}},
        {"contents": [{**USER, "role": "assistant"}]},
        {"contents": [{"role": "user", "parts": []}]},
        {"contents": [{"role": "user", "parts": [{"text": "a", "inlineData": {}}]}]},
        {"contents": [USER, {"role": "model", "parts": [{"text": "x"}]}]},
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "a"}}]}]},
        {"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {
            "contents": [USER],
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "a", "parameters": {"type": "OBJECT", "$ref": "#/x"}}
                    ]
                }
            ],
        },
        {
            "contents": [
                USER,
                {"role": "model", "parts": [{"functionCall": {"name": "a", "id": "1"}}]},
                USER,
            ]
        },
    ],
)
async def test_what_vertex_refuses(emulator: VertexEmulator, body: dict[str, object]) -> None:
    path = f"/v1/projects/{PROJECT}/locations/global/publishers/google/models/gemini-pro"
    async with httpx.AsyncClient(base_url=emulator.origin) as http:
        url = f"{path}:generateContent"
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert (await http.post(url, json={"contents": [USER]}, headers=headers)).is_success
        refused = await http.post(url, json=body, headers=headers)
        assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
        unknown = await http.post(url, json=body)
        assert unknown.json()["error"]["status"] == "UNAUTHENTICATED"
        missing = await http.post(f"{path}/generateContent", json=body, headers=headers)
        assert missing.status_code == 404
