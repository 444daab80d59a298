"""The emulator proven by AI21's own SDK where that has the route, and its strictness."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from ai21 import AsyncAI21Client, errors
from ai21.models.chat import (
    AssistantMessage,
    ChatMessage,
    ToolMessage,
    UserMessage,
)

from tests.emulators.ai21labs import API_KEY, Ai21LabsEmulator
from tests.emulators.emulator import Json

# The SDK calls httpx, and itself, in ways that they deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CHAT: Json = {"model": "jamba-mini", "messages": [{"role": "user", "content": "one two"}]}


@pytest.fixture
async def emulator() -> AsyncIterator[Ai21LabsEmulator]:
    async with Ai21LabsEmulator() as running:
        yield running


@pytest.fixture
async def client(emulator: Ai21LabsEmulator) -> AsyncIterator[Any]:
    async with httpx.AsyncClient() as http:
        host = f"{emulator.origin}/studio/v1"
        yield AsyncAI21Client(api_key=API_KEY, api_host=host, http_client=http)


@pytest.fixture
async def http(emulator: Ai21LabsEmulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    base = f"{emulator.origin}/studio/v1"
    async with httpx.AsyncClient(base_url=base, headers=headers) as made:
        yield made


def said(text: str) -> list[ChatMessage]:
    return [UserMessage(content=text)]


async def test_chat(client: Any) -> None:
    answer = await client.chat.completions.create(
        model="jamba-mini", messages=said("one two"), n=2, stop=[" two"]
    )
    assert [choice.message.content for choice in answer.choices] == ["jamba-mini heard: one"] * 2
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_streamed_chat_adds_up(client: Any) -> None:
    whole = await client.chat.completions.create(model="jamba-mini", messages=said("one two"))
    stream = await client.chat.completions.create(
        model="jamba-mini", messages=said("one two"), stream=True
    )
    text = ""
    last = None
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        last = chunk
    assert text == whole.choices[0].message.content
    assert last is not None
    assert last.usage == whole.usage
    assert last.choices[0].finish_reason == "stop"


async def test_tools(client: Any) -> None:
    asked = said("get_weather, get_weather")
    answer = await client.chat.completions.create(
        model="jamba-mini", messages=asked, tools=[WEATHER]
    )
    calls = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather"] * 2
    history = [
        *asked,
        AssistantMessage(tool_calls=calls, content=None),
        *(ToolMessage(tool_call_id=call.id, content="rain") for call in calls),
    ]
    told = await client.chat.completions.create(
        model="jamba-mini", messages=history, tools=[WEATHER]
    )
    assert told.choices[0].message.content == "jamba-mini tool said: rain"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (422, errors.UnprocessableEntity),
        (429, errors.TooManyRequestsError),
        (500, errors.AI21ServerError),
        (503, errors.ServiceUnavailable),
    ],
)
async def test_failures_become_the_exceptions_of_the_sdk(
    client: Any, emulator: Ai21LabsEmulator, status: int, expected: type[Exception]
) -> None:
    emulator.fail("jamba-mini", status=status)
    with pytest.raises(expected, match="emulated failure"):
        await client.chat.completions.create(model="jamba-mini", messages=said("x"))


async def test_completions(http: httpx.AsyncClient) -> None:
    # The SDK no longer has this route, whose models are retired.
    body = {"prompt": "a b", "numResults": 2, "stopSequences": [" b"], "topKReturn": 1}
    answer = (await http.post("/j2-mid/complete", json=body)).json()
    assert [one["data"]["text"] for one in answer["completions"]] == [" j2-mid continues: a"] * 2
    assert answer["completions"][0]["finishReason"] == {"reason": "stop", "sequence": " b"}
    assert len(answer["prompt"]["tokens"]) == 2
    assert answer["completions"][0]["data"]["tokens"][2]["textRange"] == {"start": 18, "end": 20}


REFUSED: list[tuple[str, Json, int, str]] = [
    ("/chat/completions", CHAT | {"seed": 1}, 422, "extra fields"),
    ("/chat/completions", CHAT | {"tool_choice": "auto"}, 422, "extra fields"),
    ("/chat/completions", CHAT | {"model": "gpt-4"}, 404, "not found"),
    ("/chat/completions", CHAT | {"n": 2, "stream": True}, 422, "must be 1"),
    ("/chat/completions", CHAT | {"messages": []}, 422, "at least 1"),
    ("/chat/completions", CHAT | {"messages": [{"role": "developer"}]}, 422, "developer"),
    ("/chat/completions", CHAT | {"messages": [{"role": "user", "content": []}]}, 422, "string"),
    ("/chat/completions", {"model": "jamba-mini"}, 422, "field required"),
    ("/j2-mid/complete", {"prompt": "x", "max_tokens": 1}, 422, "extra fields"),
    ("/j2-mid/complete", {"prompt": "x", "frequencyPenalty": 1}, 422, "object"),
    ("/j2-mid/complete", {"prompt": "x", "stream": True}, 422, "extra fields"),
    ("/j2-mid/complete", {"prompt": ""}, 422, "at least 1"),
    ("/j3/complete", {"prompt": "x"}, 404, "not found"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), REFUSED)
async def test_refusals(
    http: httpx.AsyncClient, path: str, body: Json, status: int, words: str
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert words in str(answer.json()["detail"])


async def test_a_wrong_key(http: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer x"}
    answer = await http.post("/chat/completions", json=CHAT, headers=headers)
    assert answer.status_code == 401
