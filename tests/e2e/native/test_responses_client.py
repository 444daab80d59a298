"""The official OpenAI client's Responses API, unmodified, against models of its chat API."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseInputParam,
)

from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
PREFIXES = ("/serving-endpoints", "/ai-gateway/openai/v1", "/ai-gateway/codex/v1")


@pytest.fixture(params=PREFIXES)
def client(
    request: pytest.FixtureRequest, system: System, rest: Rest, provider: OpenAiEmulator
) -> Iterator[OpenAI]:
    """Give the client, and an endpoint whose model chats."""
    rest.create(endpoint("talk", entity(provider)))
    with OpenAI(
        api_key=system.token, base_url=f"{system.url}{request.param}", max_retries=0
    ) as made:
        yield made


def test_a_response(client: OpenAI, provider: OpenAiEmulator) -> None:
    answer = client.responses.create(
        model="talk", instructions="Be brief.", input="hello there", max_output_tokens=100
    )
    assert answer.output_text == "gpt-4 heard: hello there"
    assert (answer.status, answer.model) == ("completed", "talk")
    assert answer.instructions == "Be brief."
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    sent = provider.requests[-1].body
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_completion_tokens"] == 100


def test_a_stream_ends_with_the_whole_response(client: OpenAI) -> None:
    with client.responses.stream(model="talk", input="hello there") as stream:
        events = list(stream)
        answer = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert answer.output_text == "gpt-4 heard: hello there"
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_is_called_and_its_result_comes_back(
    client: OpenAI, provider: OpenAiEmulator, *, streams: bool
) -> None:
    asked: dict[str, Any] = {
        "model": "talk",
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "name": "get_weather"},
        "input": "call get_weather",
    }
    answer: Response
    if streams:
        with client.responses.stream(**asked) as stream:
            answer = stream.get_final_response()
    else:
        answer = client.responses.create(**asked)
    (call,) = [item for item in answer.output if isinstance(item, ResponseFunctionToolCall)]
    assert (call.name, call.status) == ("get_weather", "completed")
    history: ResponseInputParam = [
        {"role": "user", "content": "call get_weather"},
        {
            "type": "function_call",
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments,
        },
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    client.responses.create(model="talk", input=history, tools=[WEATHER])
    sent = provider.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert sent[2] == {"role": "tool", "tool_call_id": call.call_id, "content": "rain"}


def test_a_custom_tool_takes_a_text(client: OpenAI, provider: OpenAiEmulator) -> None:
    asked: dict[str, Any] = {
        "model": "talk",
        "tools": [{"type": "custom", "name": "apply_patch", "description": "Applies a patch."}],
        "tool_choice": {"type": "custom", "name": "apply_patch"},
        "input": "call apply_patch",
    }
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        streamed = stream.get_final_response()
    answers: tuple[Response, ...] = (whole, streamed)
    for answer in answers:
        (call,) = [item for item in answer.output if isinstance(item, ResponseCustomToolCall)]
        assert call.name == "apply_patch"
        assert isinstance(call.input, str)
    sent = provider.requests[-1].body["tools"][0]["function"]
    assert sent["parameters"]["required"] == ["input"]


def test_what_needs_a_memory_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="talk", input="a", previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="store"):
        client.responses.create(model="talk", input="a", store=True)
    with pytest.raises(openai.BadRequestError, match="file_search"):
        client.responses.create(
            model="talk", input="a", tools=[{"type": "file_search", "vector_store_ids": ["a"]}]
        )
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.create(model="nobody", input="a")
    assert unknown.value.code == "ENDPOINT_NOT_FOUND"


def test_the_other_routes_are_there_too(client: OpenAI) -> None:
    assert "talk" in [model.id for model in client.models.list()]
    answer = client.chat.completions.create(
        model="talk", messages=[{"role": "user", "content": "hello there"}]
    )
    assert answer.choices[0].message.content == "gpt-4 heard: hello there"
