"""The emulator proven by the official SDK, and its strictness and its faults by plain HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall, ChatCompletionToolParam

from tests.emulators.openai import API_KEY, OpenAiEmulator
from tests.emulators.openai.errors import Json

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}
CHAT: Json = {"model": "gpt-4", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
async def emulator() -> AsyncIterator[OpenAiEmulator]:
    async with OpenAiEmulator() as running:
        yield running


@pytest.fixture
async def client(emulator: OpenAiEmulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=API_KEY, base_url=emulator.url, max_retries=0) as made:
        yield made


@pytest.fixture
async def http(emulator: OpenAiEmulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=emulator.url, headers=headers) as made:
        yield made


async def test_chat(client: AsyncOpenAI, emulator: OpenAiEmulator) -> None:
    answer = await client.chat.completions.create(**CHAT, n=2, seed=7)
    assert [choice.message.content for choice in answer.choices] == [
        "gpt-4 heard: one two three",
        "gpt-4 heard: one two three (1)",
    ]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.system_fingerprint == "fp_emulated"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens == 3 + 4 + 3
    assert emulator.requests[-1].body["seed"] == 7
    assert emulator.requests[-1].headers["authorization"] == f"Bearer {API_KEY}"


async def test_stop_and_limit(client: AsyncOpenAI) -> None:
    stopped = await client.chat.completions.create(**CHAT, stop=[" two", "three"])
    assert stopped.choices[0].message.content == "gpt-4 heard: one"
    cut = await client.chat.completions.create(**CHAT, max_tokens=2)
    assert cut.choices[0].message.content == "gpt-4 heard:"
    assert cut.choices[0].finish_reason == "length"


async def test_chat_stream_adds_up_to_the_whole_answer(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**CHAT, n=2, logprobs=True)
    texts = {0: "", 1: ""}
    usage = None
    options: Json = {"stream_options": {"include_usage": True}}
    stream = await client.chat.completions.create(
        **CHAT, **options, n=2, logprobs=True, stream=True
    )
    chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
        usage = chunk.usage or usage
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert usage == whole.usage


async def test_usage_is_streamed_only_when_asked_for(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_tools_whole_and_streamed(client: AsyncOpenAI) -> None:
    asked: Json = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "get_weather please"}],
        "tools": [WEATHER],
    }
    answer = await client.chat.completions.create(**asked)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "get_weather please", "days": 1}

    fragments = ""
    async with client.chat.completions.stream(**asked) as stream:
        async for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                fragments += event.arguments_delta
    assert fragments == call.function.arguments

    called = answer.choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    told = await client.chat.completions.create(
        **asked | {"messages": [*asked["messages"], called, result]}
    )
    assert told.choices[0].message.content == "gpt-4o tool said: rain"


async def test_forced_tool(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        **CHAT,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    assert answer.choices[0].message.tool_calls is not None


async def test_completions_whole_and_streamed(client: AsyncOpenAI) -> None:
    asked: Json = {"model": "gpt-3.5-turbo-instruct", "prompt": ["alpha", "beta"], "logprobs": 1}
    whole = await client.completions.create(**asked)
    assert [choice.text for choice in whole.choices] == [
        " gpt-3.5-turbo-instruct continues: alpha",
        " gpt-3.5-turbo-instruct continues: beta",
    ]
    texts = ["", ""]
    async for chunk in await client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


async def test_embeddings_in_both_encodings(client: AsyncOpenAI, emulator: OpenAiEmulator) -> None:
    asked: Json = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    packed = await client.embeddings.create(**asked)
    assert emulator.requests[-1].body["encoding_format"] == "base64"
    plain = await client.embeddings.create(**asked, encoding_format="float")
    assert [list(item.embedding) for item in packed.data] == [
        list(item.embedding) for item in plain.data
    ]
    assert len(plain.data[1].embedding) == 8
    tokens = await client.embeddings.create(model="text-embedding-ada-002", input=[[1, 2], [3]])
    assert [len(item.embedding) for item in tokens.data] == [1536, 1536]


async def test_models(client: AsyncOpenAI) -> None:
    assert "gpt-4" in [model.id async for model in client.models.list()]


async def test_errors_become_the_exceptions_of_the_sdk(emulator: OpenAiEmulator) -> None:
    async with AsyncOpenAI(api_key="sk-wrong", base_url=emulator.url, max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.chat.completions.create(**CHAT)
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_told_failures(
    client: AsyncOpenAI,
    emulator: OpenAiEmulator,
    status: int,
    expected: type[openai.APIStatusError],
) -> None:
    emulator.fail("gpt-4", status=status, retry_after=3, times=1)
    with pytest.raises(expected) as failed:
        await client.chat.completions.create(**CHAT)
    assert failed.value.response.headers["retry-after"] == "3"
    await client.chat.completions.create(**CHAT)


REFUSED: list[tuple[str, Json, int, str]] = [
    ("unknown field", CHAT | {"foo": 1}, 400, "Unrecognized request argument supplied: foo"),
    ("unknown model", CHAT | {"model": "gpt-9"}, 404, "does not exist"),
    ("model of another task", CHAT | {"model": "davinci-002"}, 404, "not supported in the v1"),
    ("no model", {"messages": CHAT["messages"]}, 400, "must provide a model"),
    ("no messages", {"model": "gpt-4"}, 400, "Missing required parameter: 'messages'"),
    ("empty messages", CHAT | {"messages": []}, 400, "at least 1 items"),
    ("text for messages", CHAT | {"messages": "hi"}, 400, "expected an array"),
    ("role", CHAT | {"messages": [{"role": "human", "content": "x"}]}, 400, "'human'"),
    ("null content", CHAT | {"messages": [{"role": "user", "content": None}]}, 400, "content"),
    ("message field", CHAT | {"messages": [{"role": "user", "content": "x", "a": 1}]}, 400, "a'"),
    ("hot", CHAT | {"temperature": 2.5}, 400, "<= 2"),
    ("temperature as text", CHAT | {"temperature": "1"}, 400, "expected a decimal"),
    ("n", CHAT | {"n": 0}, 400, ">= 1"),
    ("five stops", CHAT | {"stop": list("abcde")}, 400, "at most 4"),
    ("too many tokens", CHAT | {"max_tokens": 10_000}, 400, "max_tokens is too large"),
    ("reasoning", CHAT | {"model": "o3-mini", "max_tokens": 5}, 400, "max_completion_tokens"),
    ("choice without tools", CHAT | {"tool_choice": "auto"}, 400, "only allowed when 'tools'"),
    ("empty tools", CHAT | {"tools": []}, 400, "at least 1"),
    ("options without stream", CHAT | {"stream_options": {"include_usage": True}}, 400, "stream"),
    (
        "tool answer to nothing",
        CHAT | {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
        400,
        "must be a response",
    ),
]


@pytest.mark.parametrize(("body", "status", "words"), [row[1:] for row in REFUSED])
async def test_refusals(http: httpx.AsyncClient, body: Json, status: int, words: str) -> None:
    answer = await http.post("/chat/completions", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "text-embedding-ada-002", "input": "x", "dimensions": 8}, "dimensions"),
        ({"model": "text-embedding-3-small", "input": "x", "dimensions": 4096}, "at most 1536"),
        ({"model": "text-embedding-3-small", "input": ""}, "empty string"),
        ({"model": "text-embedding-3-small", "input": "x", "encoding_format": "hex"}, "hex"),
        ({"model": "text-embedding-3-small", "input": ["x"] * 2049}, "at most 2048"),
    ],
)
async def test_refused_embeddings(http: httpx.AsyncClient, body: Json, words: str) -> None:
    answer = await http.post("/embeddings", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


async def test_refused_completion(http: httpx.AsyncClient) -> None:
    body = {"model": "davinci-002", "prompt": ["a", 1]}
    answer = await http.post("/completions", json=body)
    assert answer.status_code == 400
    assert "one type" in answer.json()["error"]["message"]


async def test_transport_refusals(http: httpx.AsyncClient) -> None:
    no_key = await http.post("/chat/completions", json=CHAT, headers={"Authorization": ""})
    assert no_key.status_code == 401
    assert (await http.post("/chat/completions", content=b"{")).status_code == 400
    assert (await http.get("/chat/completions")).status_code == 405
    assert (await http.post("/nowhere", json={})).status_code == 404


async def test_azure(emulator: OpenAiEmulator) -> None:
    async with AsyncAzureOpenAI(
        api_key=API_KEY,
        azure_endpoint=emulator.origin,
        api_version="2023-05-15",
        max_retries=0,
    ) as client:
        answer = await client.chat.completions.create(
            model="my-gpt-35-turbo-deployment", messages=CHAT["messages"]
        )
        assert answer.model == "gpt-3.5-turbo"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nowhere", messages=CHAT["messages"])
    assert emulator.requests[0].query == {"api-version": "2023-05-15"}
    assert emulator.requests[0].headers["api-key"] == API_KEY


async def test_drop_and_garbage(http: httpx.AsyncClient, emulator: OpenAiEmulator) -> None:
    emulator.misbehave("drop", "gpt-4", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/chat/completions", json=CHAT)
    emulator.misbehave("garbage", "gpt-4", times=1)
    answer = await http.post("/chat/completions", json=CHAT)
    assert answer.status_code == 200
    assert "garbage" in answer.text


async def test_trickle_changes_nothing(http: httpx.AsyncClient, emulator: OpenAiEmulator) -> None:
    for body in (CHAT, CHAT | {"stream": True}):
        expected = await http.post("/chat/completions", json=body)
        emulator.misbehave("trickle", "gpt-4", times=1)
        assert (await http.post("/chat/completions", json=body)).content == expected.content


async def test_broken_streams(http: httpx.AsyncClient, emulator: OpenAiEmulator) -> None:
    body = CHAT | {"stream": True}
    for cut in (body, CHAT):
        emulator.misbehave("truncate", "gpt-4", after_events=2, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/chat/completions", json=cut)
    emulator.misbehave("end_early", "gpt-4", after_events=2, times=1)
    ended = await http.post("/chat/completions", json=body)
    assert ended.text.count("data:") == 2
    emulator.misbehave("error_event", "gpt-4", after_events=2, times=1)
    failed = await http.post("/chat/completions", json=body)
    assert "emulated failure 500" in failed.text.split("\n\n")[2]


@pytest.mark.parametrize(("kind", "streamed"), [("stall", False), ("stall_stream", True)])
async def test_stall_is_cancelled_by_the_caller(
    http: httpx.AsyncClient, emulator: OpenAiEmulator, kind: str, *, streamed: bool
) -> None:
    await http.post(
        f"{emulator.origin}/admin/faults", json={"model": "gpt-4", "kind": kind, "after_events": 1}
    )
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/chat/completions", json=CHAT | {"stream": streamed}, timeout=0.1)
    async with asyncio.timeout(5):
        await emulator.seen_cancelled.wait()
    state = (await http.get(f"{emulator.origin}/admin/state")).json()
    assert state["cancelled"] == 1
    await http.delete(f"{emulator.origin}/admin/faults")
    assert (await http.post("/chat/completions", json=CHAT)).status_code == 200
