"""The official OpenAI client, unmodified, through Envoy: `model` names the endpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import (
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionToolParam,
)

from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System, until_it_is_late
from tests.emulators.faults import LONG_PAUSE
from tests.emulators.openai import OpenAiEmulator, server

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def client(system: System, rest: Rest, provider: OpenAiEmulator) -> Iterator[OpenAI]:
    """Give the client, and an endpoint for each task."""
    rest.create(endpoint("talk", entity(provider)))
    words = entity(provider, "words", "gpt-3.5-turbo-instruct", "llm/v1/completions")
    rest.create(endpoint("words", words))
    vectors = entity(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
    rest.create(endpoint("vectors", vectors))
    base = f"{system.url}/serving-endpoints"
    with OpenAI(api_key=system.token, base_url=base, max_retries=0) as made:
        yield made


@pytest.fixture
async def async_client(system: System, client: OpenAI) -> AsyncIterator[AsyncOpenAI]:
    assert client.api_key == system.token
    base = f"{system.url}/serving-endpoints"
    async with AsyncOpenAI(api_key=system.token, base_url=base, max_retries=0) as made:
        yield made


def test_chat(client: OpenAI, provider: OpenAiEmulator) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="talk", messages=CHAT["messages"], n=2, temperature=0.5, seed=3
    )
    answer = raw.parse()
    assert [choice.message.content for choice in answer.choices] == [
        "gpt-4 heard: hello there",
        "gpt-4 heard: hello there (1)",
    ]
    assert (answer.object, answer.model) == ("chat.completion", "talk")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert raw.headers["served-model-name"] == "chat"
    assert raw.headers["x-modelplane-config-version"] == "1"
    sent = provider.requests[-1]
    assert (sent.body["model"], sent.body["temperature"], sent.body["seed"]) == ("gpt-4", 0.5, 3)
    assert sent.headers["authorization"] == f"Bearer {server.API_KEY}"


def test_unicode_survives(client: OpenAI) -> None:
    text = 'naïve 漢字 🦜 \u2028 "quoted" \\ \n line'
    answer = client.chat.completions.create(
        model="talk", messages=[{"role": "user", "content": text}]
    )
    assert answer.choices[0].message.content == f"gpt-4 heard: {text}"
    streamed = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": text}], stream=True
        )
    )
    assert streamed == answer.choices[0].message.content


def test_chat_stream(client: OpenAI) -> None:
    options: Json = {"stream_options": {"include_usage": True}}
    stream = client.chat.completions.create(
        model="talk", messages=CHAT["messages"], stream=True, **options
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(item.choices[0].delta.content or "" for item in chunks if item.choices)
    assert text == "gpt-4 heard: hello there"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1
    assert stream.response.headers["content-type"].startswith("text/event-stream")


def test_usage_comes_with_the_last_content_unless_it_is_asked_for(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=True)
    )
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert [chunk.usage is not None for chunk in chunks[:-1]] == [False] * (len(chunks) - 1)
    assert chunks[-1].usage is not None


def test_tools(client: OpenAI) -> None:
    messages: list[Json] = [{"role": "user", "content": "get_weather in Bern"}]
    asked: Json = {"model": "talk", "messages": messages, "tools": [WEATHER]}
    answer = client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert json.loads(call.function.arguments) == {"city": "get_weather in Bern"}
    assert answer.choices[0].finish_reason == "tool_calls"
    fragments = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.index == 0
            fragments += (delta.function and delta.function.arguments) or ""
    assert fragments == call.function.arguments
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    told = client.chat.completions.create(**asked)
    assert told.choices[0].message.content == "gpt-4 tool said: rain"


def test_completions(client: OpenAI) -> None:
    asked: Json = {"model": "words", "prompt": ["a", "b"], "max_tokens": 10}
    whole = client.completions.create(**asked)
    assert [choice.text for choice in whole.choices] == [
        " gpt-3.5-turbo-instruct continues: a",
        " gpt-3.5-turbo-instruct continues: b",
    ]
    texts = ["", ""]
    for chunk in client.completions.create(**asked, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]


def test_embeddings_in_both_encodings(client: OpenAI, provider: OpenAiEmulator) -> None:
    packed = client.embeddings.create(model="vectors", input=["a", "b"], dimensions=16)
    assert provider.requests[-1].body["encoding_format"] == "base64"
    plain = client.embeddings.create(
        model="vectors", input=["a", "b"], dimensions=16, encoding_format="float"
    )
    assert [list(item.embedding) for item in packed.data] == [
        list(item.embedding) for item in plain.data
    ]
    assert len(plain.data[0].embedding) == 16


def test_models(client: OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed] == ["talk", "vectors", "words"]
    assert [client.models.retrieve(model.id) for model in listed] == listed
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")


def test_errors_become_the_exceptions_of_the_client(client: OpenAI) -> None:
    def refused(kind: type[openai.APIStatusError], **fields: object) -> str:
        with pytest.raises(kind) as failed:
            client.chat.completions.create(**({"model": "talk", **CHAT} | fields))
        assert isinstance(failed.value.body, dict)
        assert failed.value.body["message"] in str(failed.value)
        return str(failed.value.code)

    assert refused(openai.NotFoundError, model="nowhere") == "ENDPOINT_NOT_FOUND"
    assert refused(openai.BadRequestError, messages=[]) in (
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
    )
    assert refused(openai.BadRequestError, model="vectors") in (
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
    )
    stranger = client.with_options(api_key="dapi-wrong")
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="talk", messages=CHAT["messages"])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_errors_of_the_provider(
    client: OpenAI,
    provider: OpenAiEmulator,
    status: int,
    kind: type[openai.APIStatusError],
    *,
    streamed: bool,
) -> None:
    provider.fail("gpt-4", status=status, retry_after=LONG_PAUSE)
    with pytest.raises(kind, match=f"emulated failure {status}") as failed:
        client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=streamed)
    if status in (429, 503):
        assert failed.value.response.headers["retry-after"] == str(LONG_PAUSE)
    assert "openai" in str(failed.value)


def test_a_wrong_key_at_the_provider_is_not_the_callers_fault(
    client: OpenAI, rest: Rest, provider: OpenAiEmulator
) -> None:
    wrong = entity(provider)
    config = wrong["external_model"]["openai_config"]
    del config["openai_api_key"]
    config["openai_api_key_plaintext"] = "sk-wrong-key-of-the-endpoint"
    rest.create(endpoint("wrong", wrong))
    with pytest.raises(openai.APIStatusError) as failed:
        client.chat.completions.create(model="wrong", messages=CHAT["messages"])
    assert "openai" in str(failed.value)
    assert "sk-wrong-key-of-the-endpoint" not in str(failed.value)


@pytest.mark.parametrize("kind", ["error_event", "truncate", "end_early"])
def test_a_stream_that_breaks_ends_in_an_error(
    client: OpenAI, provider: OpenAiEmulator, kind: str
) -> None:
    provider.misbehave(kind, "gpt-4", after_events=2, held=True)  # type: ignore[arg-type]
    stream = client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    provider.resume()
    with pytest.raises(openai.APIError):
        list(stream)


@pytest.mark.parametrize("kind", ["error_event", "truncate", "end_early"])
def test_a_stream_that_breaks_before_its_first_chunk_is_a_refusal(
    client: OpenAI, provider: OpenAiEmulator, kind: str
) -> None:
    provider.misbehave(kind, "gpt-4")  # type: ignore[arg-type]
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=True)


@pytest.mark.parametrize("kind", ["drop", "garbage", "truncate"])
def test_an_answer_that_breaks_is_an_error(
    client: OpenAI, provider: OpenAiEmulator, kind: str
) -> None:
    provider.misbehave(kind, "gpt-4")  # type: ignore[arg-type]
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="talk", messages=CHAT["messages"])


def test_trickled_bytes_change_nothing(client: OpenAI, provider: OpenAiEmulator) -> None:
    provider.misbehave("trickle", "gpt-4")
    whole = client.chat.completions.create(model="talk", messages=CHAT["messages"])
    stream = client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content == "gpt-4 heard: hello there"


@pytest.mark.parametrize(("kind", "streamed"), [("stall", False), ("stall_stream", True)])
def test_a_caller_who_leaves_cancels_the_provider_call(
    client: OpenAI, provider: OpenAiEmulator, kind: str, *, streamed: bool
) -> None:
    provider.misbehave(kind, "gpt-4", after_events=2)  # type: ignore[arg-type]
    asked: Json = {"model": "talk", "messages": CHAT["messages"], "stream": streamed}

    def ask(seconds: float) -> None:
        impatient = client.with_options(timeout=seconds)
        with pytest.raises(openai.APITimeoutError):
            list(impatient.chat.completions.create(**asked))

    until_it_is_late(provider, ask)


def test_the_first_chunk_does_not_wait_for_the_last(
    client: OpenAI, provider: OpenAiEmulator
) -> None:
    provider.misbehave("stall_stream", "gpt-4", after_events=3)
    stream = client.chat.completions.create(model="talk", messages=CHAT["messages"], stream=True)
    chunks = iter(stream)
    received = [next(chunks) for _ in range(3)]
    stream.close()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in received)
    assert text == "gpt-4 heard:"


async def test_many_at_once(async_client: AsyncOpenAI) -> None:
    async def ask(number: int) -> str | None:
        messages: Json = {"messages": [{"role": "user", "content": f"number {number}"}]}
        if number % 2:
            answer = await async_client.chat.completions.create(model="talk", **messages)
            return answer.choices[0].message.content
        stream = await async_client.chat.completions.create(model="talk", stream=True, **messages)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    answers = await asyncio.gather(*(ask(number) for number in range(40)))
    assert answers == [f"gpt-4 heard: number {number}" for number in range(40)]
