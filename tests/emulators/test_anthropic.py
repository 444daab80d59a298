"""What the emulator accepts and says, seen by the official client."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.emulators.anthropic import API_KEY, AnthropicEmulator
from tests.emulators.anthropic.blocks import sign

# The older models' formats stay in use for as long as someone's endpoint names them.
pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
CHAT = "claude-3-5-sonnet-20240620"
THINKER = "claude-sonnet-4-5"
TOOL: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CLOCK: Any = {"name": "clock", "input_schema": {"type": "object"}}


@pytest.fixture
async def emulator() -> AsyncIterator[AnthropicEmulator]:
    async with AnthropicEmulator() as running:
        yield running


@pytest.fixture
async def client(emulator: AnthropicEmulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        api_key=API_KEY, base_url=emulator.origin, max_retries=0
    ) as connected:
        yield connected


def asked(text: str, model: str = CHAT, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 2048,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


async def test_a_chat(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asked("hello"))
    assert message.content[0].model_dump()["text"] == f"{CHAT} heard: hello"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0


@pytest.mark.parametrize(
    "body",
    [
        asked("hello, how are you"),
        asked("hello", stop_sequences=["heard"]),
        asked("hello there", max_tokens=2),
        asked("explain get_weather", tools=[TOOL, CLOCK]),
        asked("get_weather and clock", tools=[TOOL, CLOCK]),
        asked("clock twice", tools=[CLOCK]),
        asked("think", THINKER, thinking={"type": "enabled", "budget_tokens": 1024}),
        asked("redact", THINKER, thinking={"type": "enabled", "budget_tokens": 1024}),
        asked("refuse this"),
    ],
)
async def test_a_stream_adds_up_to_the_whole_answer(
    client: AsyncAnthropic, body: dict[str, Any]
) -> None:
    whole = await client.messages.create(**body)
    async with client.messages.stream(**body) as stream:
        streamed = await stream.get_final_message()
    ignored = {"usage": {"service_tier"}}
    got, expected = (
        json.loads(one.model_dump_json(exclude=ignored, exclude_none=True, warnings=False))
        for one in (streamed, whole)
    )
    for block in got["content"]:
        block.pop("parsed_output", None)
    assert got == expected


async def test_a_conversation_with_tools_and_thinking(client: AsyncAnthropic) -> None:
    body = asked(
        "get_weather", THINKER, thinking={"type": "enabled", "budget_tokens": 1024}, tools=[TOOL]
    )
    first = await client.messages.create(**body)
    assert first.stop_reason == "tool_use"
    call = first.content[1].model_dump()
    said = [block.model_dump(exclude_none=True) for block in first.content]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    turns = [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    body["messages"] += turns
    second = await client.messages.create(**body)
    assert second.content[1].model_dump()["text"] == f"{THINKER} tool said: sunny"
    said[0]["signature"] = sign("something else")
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await client.messages.create(**body)


async def test_legacy_completions(client: AsyncAnthropic) -> None:
    body = {
        "model": "claude-2",
        "prompt": "\n\nHuman: hi\n\nAssistant:",
        "max_tokens_to_sample": 50,
    }
    # The client no longer has this API; it carries the request all the same.
    answer = json.loads(await client.post("/v1/complete", cast_to=str, body=body))
    assert answer["completion"] == " claude-2 continues: hi"
    assert answer["stop_reason"] == "stop_sequence"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
async def test_errors(
    emulator: AnthropicEmulator,
    client: AsyncAnthropic,
    status: int,
    expected: type[anthropic.APIStatusError],
) -> None:
    emulator.fail(status=status)
    with pytest.raises(expected) as caught:
        await client.messages.create(**asked("hi"))
    assert caught.value.request_id == "req_emulated"
    assert caught.value.type


async def test_an_error_in_mid_stream(emulator: AnthropicEmulator, client: AsyncAnthropic) -> None:
    emulator.misbehave("error_event", after_events=4)
    with pytest.raises(anthropic.APIStatusError, match="emulated failure"):
        async with client.messages.stream(**asked("hi")) as stream:
            await stream.get_final_message()


async def test_a_wrong_key(emulator: AnthropicEmulator) -> None:
    async with AsyncAnthropic(
        api_key="sk-ant-wrong", base_url=emulator.origin, max_retries=0
    ) as client:
        with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
            await client.messages.create(**asked("hi"))


USE = {"type": "tool_use", "id": "a", "name": "clock", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "noon"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asked("hi", unknown=1), "unknown: Extra inputs"),
        (asked("hi", model="claude-2"), "not supported on this API"),
        (asked(" "), "non-whitespace"),
        (asked("hi", max_tokens=0), "max_tokens"),
        (asked("hi", max_tokens=9000), "9000 > 8192"),
        (asked("hi", temperature=1.5), "temperature"),
        (asked("hi", stop_sequences=["\n"]), "stop sequence"),
        (asked("hi", messages=[]), "messages"),
        (asked("hi", messages=[{"role": "assistant", "content": "x"}]), "roles must alternate"),
        (asked("hi", messages=[{"role": "user", "content": "x"}] * 2), "roles must alternate"),
        (asked("hi", messages=[{"role": "system", "content": "x"}]), "role"),
        (asked("hi", tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "pattern"),
        (asked("hi", tools=[{"name": "a"}]), "input_schema"),
        (asked("hi", tools=[CLOCK, CLOCK]), "unique"),
        (asked("hi", tool_choice={"type": "auto"}), "while providing"),
        (asked("hi", tools=[CLOCK], tool_choice={"type": "tool", "name": "x"}), "not found"),
        (
            asked(
                "hi",
                "claude-opus-4-1-20250805",
                temperature=0.5,
                top_p=0.5,
            ),
            "cannot both",
        ),
        (asked("hi", thinking={"type": "enabled", "budget_tokens": 1024}), "not supported"),
        (
            asked("hi", THINKER, thinking={"type": "enabled", "budget_tokens": 2048}),
            "must be greater",
        ),
        (
            asked(
                "hi",
                messages=[
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [USE]},
                ],
                tools=[CLOCK],
            ),
            "without `tool_result`",
        ),
        (
            asked(
                "hi",
                messages=[
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [USE]},
                    {"role": "user", "content": [{"type": "text", "text": "t"}, RESULT]},
                ],
                tools=[CLOCK],
            ),
            "at the beginning",
        ),
        (
            asked(
                "hi",
                messages=[
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [USE]},
                    {"role": "user", "content": [RESULT]},
                ],
            ),
            "must define tools",
        ),
    ],
)
async def test_what_the_api_refuses(
    client: AsyncAnthropic, body: dict[str, Any], words: str
) -> None:
    # The client no longer has what the newer version of the API dropped.
    untyped = {name: body[name] for name in ("temperature", "top_p", "unknown") if name in body}
    typed = {name: value for name, value in body.items() if name not in untyped}
    headers = {"anthropic-version": "2023-06-01"}
    with pytest.raises(anthropic.BadRequestError, match=words):
        await client.messages.create(**typed, extra_body=untyped, extra_headers=headers)


async def test_sampling_belongs_to_the_older_version(client: AsyncAnthropic) -> None:
    sampling = {"temperature": 0.5, "top_k": 3}
    older = {"anthropic-version": "2023-06-01"}
    await client.messages.create(**asked("hi"), extra_body=sampling, extra_headers=older)
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
        await client.messages.create(**asked("hi"), extra_body=sampling)
