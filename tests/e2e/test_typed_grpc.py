"""Typed inference on Envoy's one port: the same semantics as over REST."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from modelserving.v1.chat_pb2 import (
    ChatMessage,
    ChatRequest,
    Function,
    JsonSchema,
    ResponseFormat,
    Tool,
)
from modelserving.v1.completion_pb2 import CompletionRequest, TextList
from modelserving.v1.embedding_pb2 import EmbeddingRequest
from modelserving.v1.model_service_pb2_grpc import ModelServiceStub
from modelserving.v1.usage_pb2 import StreamOptions

from tests.e2e.reflection import reflected
from tests.e2e.rest import CHAT, Rest, endpoint, entity
from tests.e2e.system import System, until_it_is_late, wait_for
from tests.emulators.faults import LONG_PAUSE
from tests.emulators.openai import OpenAiEmulator

_SECONDS = 120.0
Metadata = tuple[tuple[str, str], ...]
SCHEMA = (
    '{"type": "object", "properties": {"where": {"type": "string"}, "days": {"type": "integer"}}}'
)


@pytest.fixture
def channel(system: System) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(system.target) as opened:
        yield opened


@pytest.fixture
def models(channel: grpc.Channel) -> ModelServiceStub:
    return ModelServiceStub(channel)


@pytest.fixture
def metadata(system: System) -> Metadata:
    return (("authorization", f"Bearer {system.token}"),)


@pytest.fixture(autouse=True)
def endpoints(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider), entity(provider, "other", "gpt-4o")))
    text = entity(provider, "text", "gpt-3.5-turbo-instruct", "llm/v1/completions")
    rest.create(endpoint("text", text))
    vector = entity(provider, "vector", "text-embedding-3-small", "llm/v1/embeddings")
    rest.create(endpoint("vector", vector))


def say(text: str = "hello there", **fields: Any) -> ChatRequest:
    messages = [ChatMessage(role="user", text=text)]
    return ChatRequest(model="talk", messages=messages, **fields)


def test_chat(models: ModelServiceStub, metadata: Metadata, rest: Rest) -> None:
    answer, call = models.Chat.with_call(say(), metadata=metadata, timeout=_SECONDS)
    expected = rest.query("talk", CHAT).json()
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.text == expected["choices"][0]["message"]["content"]
    assert (choice.finish_reason, answer.model, answer.id) == ("stop", "talk", expected["id"])
    assert answer.usage.total_tokens == expected["usage"]["total_tokens"]
    assert not answer.HasField("extra_fields")
    headers = dict(call.initial_metadata())
    assert headers["served-model-name"] == "chat"
    assert headers["x-modelplane-config-version"] == "1"
    assert headers["x-request-id"]


def test_chat_with_a_named_entity(models: ModelServiceStub, metadata: Metadata) -> None:
    asked = say(served_model_name="other")
    answer, call = models.Chat.with_call(asked, metadata=metadata, timeout=_SECONDS)
    assert answer.choices[0].message.text == "gpt-4o heard: hello there"
    assert dict(call.initial_metadata())["served-model-name"] == "other"


def test_chat_with_everything(
    models: ModelServiceStub, metadata: Metadata, provider: OpenAiEmulator
) -> None:
    extra = Struct()
    extra.update({"prediction": {"type": "content", "content": "a"}, "top_logprobs": 2})
    schema = JsonSchema(name="s", strict=True, schema_json=SCHEMA)
    asked = say(
        temperature=1.0,
        seed=7,
        stop=["never"],
        logprobs=True,
        tools=[Tool(type="function", function=Function(name="weather", parameters_json=SCHEMA))],
        tool_mode="none",
        response_format=ResponseFormat(type="json_schema", json_schema=schema),
        extra_params=extra,
    )
    answer = models.Chat(asked, metadata=metadata, timeout=_SECONDS)
    sent = provider.requests[-1].body
    assert (sent["seed"], sent["top_logprobs"], sent["prediction"]["content"]) == (7, 2, "a")
    assert list(sent["tools"][0]["function"]["parameters"]["properties"]) == ["where", "days"]
    first = answer.choices[0].logprobs.content[0]
    assert first.bytes == first.token.encode()
    assert len(first.top_logprobs) == 2


def test_tools_are_called_and_answered(models: ModelServiceStub, metadata: Metadata) -> None:
    tool = Tool(type="function", function=Function(name="weather", parameters_json=SCHEMA))
    asked = say("the weather, please", tools=[tool])
    said = models.Chat(asked, metadata=metadata, timeout=_SECONDS).choices[0]
    [call] = said.message.tool_calls
    assert (said.finish_reason, call.function.name) == ("tool_calls", "weather")
    assert call.function.arguments == '{"where": "the weather, please", "days": 1}'
    # An answer goes back as it came.
    result = ChatMessage(role="tool", tool_call_id=call.id, text="sunny")
    asked.messages.extend([said.message, result])
    answer = models.Chat(asked, metadata=metadata, timeout=_SECONDS)
    assert answer.choices[0].message.text == "gpt-4 tool said: sunny"


def test_streamed_chat(models: ModelServiceStub, metadata: Metadata) -> None:
    whole = models.Chat(say(), metadata=metadata, timeout=_SECONDS)
    asked = say(stream_options=StreamOptions(include_usage=True))
    call = models.StreamChat(asked, metadata=metadata, timeout=_SECONDS)
    *chunks, last = list(call)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.text for delta in deltas) == whole.choices[0].message.text
    assert [delta.HasField("role") for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not last.choices
    assert last.usage == whole.usage
    assert dict(call.initial_metadata())["served-model-name"] == "chat"
    assert call.code() == grpc.StatusCode.OK


def test_completions(models: ModelServiceStub, metadata: Metadata) -> None:
    asked = CompletionRequest(model="text", texts=TextList(items=["a", "b"]), max_tokens=9)
    answer = models.Complete(asked, metadata=metadata, timeout=_SECONDS)
    texts = [choice.text for choice in answer.choices]
    assert [text[-1] for text in texts] == ["a", "b"]
    pieces = ["", ""]
    for piece in models.StreamComplete(asked, metadata=metadata, timeout=_SECONDS):
        for choice in piece.choices:
            pieces[choice.index] += choice.text
    assert pieces == texts


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_embeddings(
    models: ModelServiceStub, metadata: Metadata, rest: Rest, form: str | None
) -> None:
    asked = EmbeddingRequest(
        model="vector", texts=TextList(items=["a", "b"]), dimensions=8, encoding_format=form
    )
    answer = models.Embed(asked, metadata=metadata, timeout=_SECONDS)
    expected = rest.query("vector", {"input": ["a", "b"], "dimensions": 8}).json()
    assert [list(item.embedding) for item in answer.data] == [
        item["embedding"] for item in expected["data"]
    ]
    assert answer.usage.prompt_tokens == expected["usage"]["prompt_tokens"]


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, dict[str, str], str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    error = refused.value
    assert isinstance(error, grpc.Call)
    trailing = {key: str(value) for key, value in error.trailing_metadata() or ()}
    return error.code(), trailing, error.details() or ""


def test_refusals(
    models: ModelServiceStub, metadata: Metadata, rest: Rest, provider: OpenAiEmulator
) -> None:
    stranger = refusal(lambda: models.Chat(say(), timeout=_SECONDS))
    assert stranger[0] == grpc.StatusCode.UNAUTHENTICATED

    absent = ChatRequest(model="nowhere", messages=say().messages)
    code, trailing, _ = refusal(lambda: models.Chat(absent, metadata=metadata, timeout=_SECONDS))
    assert code == grpc.StatusCode.NOT_FOUND
    assert trailing["x-modelplane-error-code"] == "ENDPOINT_NOT_FOUND"

    provider.fail("gpt-4", status=429, retry_after=LONG_PAUSE)
    code, trailing, details = refusal(
        lambda: list(models.StreamChat(say(), metadata=metadata, timeout=_SECONDS))
    )
    over_rest = rest.query("talk", CHAT)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailing["x-modelplane-http-status"] == str(over_rest.status_code) == "429"
    assert trailing["retry-after"] == over_rest.headers["retry-after"] == str(LONG_PAUSE)
    assert details == over_rest.json()["message"]


def test_a_stream_that_breaks_off_ends_with_a_status(
    models: ModelServiceStub, metadata: Metadata, provider: OpenAiEmulator
) -> None:
    provider.misbehave("truncate", "gpt-4", after_events=3, held=True)
    call = models.StreamChat(say(), metadata=metadata, timeout=_SECONDS)
    chunks = iter(call)
    said = [next(chunks).choices[0].delta.text for _ in range(3)]
    provider.resume()
    code, trailing, _ = refusal(lambda: next(chunks))
    assert "".join(said) == "gpt-4 heard:"
    assert code == grpc.StatusCode.UNAVAILABLE
    assert trailing["x-modelplane-error-code"] == "TEMPORARILY_UNAVAILABLE"
    assert trailing["x-request-id"]


def test_cancellation_and_deadline_reach_the_provider(
    models: ModelServiceStub, metadata: Metadata, provider: OpenAiEmulator
) -> None:
    provider.misbehave("stall", "gpt-4")
    before, seen = provider.cancelled, len(provider.requests)
    call = models.Chat.future(say(), metadata=metadata, timeout=_SECONDS)
    wait_for(lambda: len(provider.requests) == seen + 1)
    call.cancel()
    wait_for(lambda: provider.cancelled == before + 1)

    def ask(seconds: float) -> None:
        code, _, _ = refusal(lambda: models.Chat(say(), metadata=metadata, timeout=seconds))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED

    until_it_is_late(provider, ask)


def test_reflection_describes_the_inference_services(
    channel: grpc.Channel, metadata: Metadata
) -> None:
    database = reflected(channel, metadata)
    for name, rpc in (("InferenceService", "Query"), ("ModelService", "StreamChat")):
        assert f"modelserving.v1.{name}" in database.get_services()
        described = database.FindFileContainingSymbol(f"modelserving.v1.{name}")
        assert rpc in [item.name for item in described.service[0].method]
