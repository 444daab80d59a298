"""The emulator proven by Cohere's own SDK, and its strictness by plain HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import pytest
from cohere import errors

from tests.emulators.cohere import API_KEY, CohereEmulator
from tests.emulators.emulator import Json

WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CHAT: Json = {"model": "command-r", "messages": [{"role": "user", "content": "one two"}]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


@pytest.fixture
async def emulator() -> AsyncIterator[CohereEmulator]:
    async with CohereEmulator() as running:
        yield running


@pytest.fixture
async def client(emulator: CohereEmulator) -> AsyncIterator[Any]:
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClientV2(API_KEY, base_url=emulator.origin, httpx_client=http)


@pytest.fixture
async def http(emulator: CohereEmulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=emulator.origin, headers=headers) as made:
        yield made


async def test_chat(client: Any, emulator: CohereEmulator) -> None:
    answer = await client.chat(**CHAT, p=0.5, k=3, stop_sequences=[" two"], logprobs=True)
    assert answer.message.content[0].text == "command-r heard: one"
    assert answer.finish_reason == "STOP_SEQUENCE"
    assert answer.usage.tokens.input_tokens == answer.usage.billed_units.input_tokens + 60
    assert answer.logprobs[0].text == "command-r"
    assert emulator.requests[-1].body["p"] == 0.5


async def test_a_streamed_chat_adds_up(client: Any) -> None:
    asked = {**CHAT, "model": "command-a-reasoning-08-2025", "thinking": {"type": "enabled"}}
    whole = await client.chat(**asked)
    texts = {"thinking": "", "text": ""}
    end = None
    async for event in client.chat_stream(**asked):
        if event.type == "content-delta":
            content = event.delta.message.content
            texts["thinking"] += content.thinking or ""
            texts["text"] += content.text or ""
        elif event.type == "message-end":
            end = event.delta
    assert [texts["thinking"], texts["text"]] == [
        whole.message.content[0].thinking,
        whole.message.content[1].text,
    ]
    assert end is not None
    assert (end.finish_reason, end.usage) == (whole.finish_reason, whole.usage)


async def test_tools_whole_and_streamed(client: Any) -> None:
    asked = {"messages": [{"role": "user", "content": "get_weather, get_weather"}]}
    asked = {**CHAT, **asked, "tools": [WEATHER]}
    whole = await client.chat(**asked)
    assert whole.finish_reason == "TOOL_CALL"
    assert whole.message.tool_plan == "I will call get_weather."
    calls = [call.function.arguments for call in whole.message.tool_calls]
    assert [json.loads(call) for call in calls] == [{"city": "get_weather, get_weather"}] * 2
    streamed = ["", ""]
    async for event in client.chat_stream(**asked):
        if event.type == "tool-call-delta":
            fragment = event.delta.message.tool_calls.function.arguments
            streamed[event.index] += fragment
    assert streamed == calls
    history = [
        *asked["messages"],
        whole.message,
        *(
            {"role": "tool", "tool_call_id": call.id, "content": "rain"}
            for call in whole.message.tool_calls
        ),
    ]
    told = await client.chat(**{**asked, "messages": history})
    assert told.message.content[0].text == "command-r tool said: rain"


async def test_tool_choice(client: Any) -> None:
    forced = await client.chat(**CHAT, tools=[WEATHER], tool_choice="REQUIRED")
    assert len(forced.message.tool_calls) == 1
    asked = {**CHAT, "messages": [{"role": "user", "content": "get_weather"}]}
    refused = await client.chat(**asked, tools=[WEATHER], tool_choice="NONE")
    assert refused.message.tool_calls is None


async def test_generate_whole_and_streamed(emulator: CohereEmulator) -> None:
    async with httpx.AsyncClient() as http:
        client = cohere.AsyncClient(API_KEY, base_url=emulator.origin, httpx_client=http)
        asked: Json = {"model": "command", "prompt": "a b z", "num_generations": 2}
        whole = await client.generate(**asked, end_sequences=[" z"])
        assert [one.text for one in whole.generations] == [" command continues: a b"] * 2
        kept = await client.generate(**asked, stop_sequences=[" z"])
        assert kept.generations[0].text == " command continues: a b z"
        texts = ["", ""]
        events = [event async for event in client.generate_stream(**asked)]
        for event in events[:-1]:
            texts[event.index] += event.text  # type: ignore[union-attr,index]
        assert texts == [one.text for one in (await client.generate(**asked)).generations]
        assert events[-1].event_type == "stream-end"


async def test_embed(client: Any) -> None:
    asked: Json = {"model": "embed-v4.0", "input_type": "search_query", "texts": ["a", "b"]}
    answer = await client.embed(**asked, embedding_types=["float"], output_dimension=256)
    assert [len(vector) for vector in answer.embeddings.float_] == [256, 256]
    assert answer.meta.billed_units.input_tokens == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.BadRequestError),
        (401, errors.UnauthorizedError),
        (404, errors.NotFoundError),
        (422, errors.UnprocessableEntityError),
        (429, errors.TooManyRequestsError),
        (498, errors.InvalidTokenError),
        (499, errors.ClientClosedRequestError),
        (500, errors.InternalServerError),
        (503, errors.ServiceUnavailableError),
    ],
)
async def test_failures_become_the_exceptions_of_the_sdk(
    client: Any, emulator: CohereEmulator, status: int, expected: type[Exception]
) -> None:
    emulator.fail("command-r", status=status)
    with pytest.raises(expected, match="emulated failure"):
        await client.chat(**CHAT, request_options={"max_retries": 0})


REFUSED: list[tuple[str, Json, int, str]] = [
    ("/v2/chat", CHAT | {"top_p": 1}, 422, "'top_p' is not a valid field"),
    ("/v2/chat", CHAT | {"model": "gpt-4"}, 404, "not found"),
    ("/v2/chat", CHAT | {"p": 1}, 400, "<= 0.99"),
    ("/v2/chat", CHAT | {"temperature": 1.5}, 400, "<= 1"),
    ("/v2/chat", CHAT | {"tool_choice": "NONE"}, 400, "with tools"),
    ("/v2/chat", CHAT | {"tools": [WEATHER], "tool_choice": "auto"}, 400, "auto"),
    ("/v2/chat", CHAT | {"stop_sequences": list("abcdef")}, 400, "at most 5"),
    ("/v2/chat", {"model": "command-r"}, 400, "messages is required"),
    ("/v2/chat", CHAT | {"messages": [{"role": "developer", "content": "x"}]}, 400, "developer"),
    ("/v2/chat", CHAT | {"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "image"),
    (
        "/v2/chat",
        CHAT | {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
        400,
        "matches no tool call",
    ),
    ("/v2/chat", CHAT | {"messages": [{"role": "assistant", "content": ""}]}, 400, "needs"),
    ("/v1/generate", {"model": "command"}, 400, "prompt is required"),
    ("/v1/generate", {"prompt": "x", "stop": ["y"]}, 422, "stop"),
    ("/v1/generate", {"prompt": "x", "num_generations": 6}, 400, "<= 5"),
    ("/v2/embed", {"model": "embed-v4.0", "texts": ["a"]}, 400, "input_type is required"),
    (
        "/v2/embed",
        {"model": "embed-v4.0", "input_type": "search_query", "texts": ["a"] * 97},
        400,
        "at most 96",
    ),
    (
        "/v2/embed",
        {
            "model": "embed-english-v3.0",
            "input_type": "search_query",
            "texts": ["a"],
            "output_dimension": 256,
        },
        400,
        "embed-v4.0",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), REFUSED)
async def test_refusals(
    http: httpx.AsyncClient, path: str, body: Json, status: int, words: str
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert set(answer.json()) == {"id", "message"}


async def test_a_wrong_key(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v2/chat", json=CHAT, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401
