"""The official Anthropic client, unmodified, against models of other providers."""

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam, ToolUseBlock

from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PREFIXES = ("/serving-endpoints/anthropic", "/ai-gateway/anthropic")


@pytest.fixture(params=PREFIXES)
def client(
    request: pytest.FixtureRequest, system: System, rest: Rest, provider: OpenAiEmulator
) -> Iterator[Anthropic]:
    """Give the client, and an endpoint whose model is OpenAI's."""
    rest.create(endpoint("talk", entity(provider)))
    base = f"{system.url}{request.param}"
    with Anthropic(auth_token=system.token, base_url=base, max_retries=0) as made:
        yield made


def test_a_message(client: Anthropic, provider: OpenAiEmulator) -> None:
    answer = client.messages.create(
        model="talk",
        max_tokens=100,
        system="Be brief.",
        messages=[{"role": "user", "content": "hello there"}],
    )
    assert [block.to_dict() for block in answer.content] == [
        {"type": "text", "text": "gpt-4 heard: hello there"}
    ]
    assert (answer.role, answer.model, answer.stop_reason) == ("assistant", "talk", "end_turn")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    sent = provider.requests[-1].body
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_completion_tokens"] == 100


def test_a_stream_has_blocks_and_usage(client: Anthropic) -> None:
    with client.messages.stream(
        model="talk", max_tokens=100, messages=[{"role": "user", "content": "hello there"}]
    ) as stream:
        events = [event.type for event in stream]
        answer = stream.get_final_message()
    assert events[0] == "message_start"
    assert events[-1] == "message_stop"
    assert events.count("content_block_start") == events.count("content_block_stop") == 1
    assert [block.to_dict() for block in answer.content] == [
        {"type": "text", "text": "gpt-4 heard: hello there"}
    ]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_is_called_and_its_result_comes_back(
    client: Anthropic, provider: OpenAiEmulator, *, streams: bool
) -> None:
    question: MessageParam = {"role": "user", "content": "call get_weather"}
    asked: dict[str, Any] = {
        "model": "talk",
        "max_tokens": 100,
        "tools": [WEATHER],
        "tool_choice": {"type": "tool", "name": "get_weather"},
        "messages": [question],
    }
    if streams:
        with client.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)
    assert answer.stop_reason in ("tool_use", "end_turn")
    (call,) = [block for block in answer.content if isinstance(block, ToolUseBlock)]
    assert call.name == "get_weather"
    assert isinstance(call.input, dict)
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    result: ToolResultBlockParam = {
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": [
            {"type": "text", "text": "rain"},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": image},
            },
        ],
    }
    raw = client.messages.with_raw_response.create(
        model="talk",
        max_tokens=100,
        tools=[WEATHER],
        messages=[
            question,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
        ],
    )
    sent = provider.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert sent[2] == {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    assert [part["type"] for part in sent[3]["content"]] == ["image_url", "text"]
    lost = raw.headers["x-modelplane-adapted-params"]
    assert lost == "tool_result images=moved behind the result"


def test_errors_are_anthropics(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(
            model="nobody", max_tokens=1, messages=[{"role": "user", "content": "a"}]
        )
    body = unknown.value.body
    assert isinstance(body, dict)
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    assert body["error_code"] == "ENDPOINT_NOT_FOUND"
    assert body["message"] == body["error"]["message"]
    assert unknown.value.request_id == body["request_id"]
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        body = {"model": "talk", "messages": [{"role": "user", "content": "a"}]}
        client.post("/v1/messages", cast_to=object, body=body)
    with pytest.raises(anthropic.BadRequestError, match="runs at Anthropic"):
        client.messages.create(
            model="talk",
            max_tokens=1,
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
            messages=[{"role": "user", "content": "a"}],
        )


def test_a_token_may_come_as_a_key(system: System, client: Anthropic) -> None:
    with Anthropic(api_key=system.token, base_url=client.base_url, max_retries=0) as keyed:
        counted = keyed.messages.count_tokens(
            model="talk", messages=[{"role": "user", "content": "hello there" * 100}]
        )
        assert 200 < counted.input_tokens < 400
        listed = keyed.models.list()
        assert "talk" in [model.id for model in listed]
        assert not listed.has_more
    with Anthropic(api_key="nothing", base_url=client.base_url, max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            stranger.models.list()
        assert "unknown" in str(refused.value)


def test_tags_come_in_a_header(client: Anthropic, rest: Rest) -> None:
    tracked: dict[str, Any] = {"usage_tracking_config": {"enabled": True}}
    rest.call("PUT", "/api/2.0/serving-endpoints/talk/ai-gateway", tracked)
    asked: dict[str, Any] = {
        "model": "databricks-talk[1m]",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "a"}],
    }
    header = "Databricks-Ai-Gateway-Request-Tags"
    client.messages.create(**asked, extra_headers={header: '{"team": "search"}'})

    def tagged() -> bool:
        rows = rest.call("GET", "/api/2.0/serving-endpoints/talk/usage")
        return any(row.get("usage_context") == {"team": "search"} for row in rows.get("usage", []))

    wait_for(tagged)
    with pytest.raises(anthropic.BadRequestError, match="request-tags"):
        client.messages.create(**asked, extra_headers={header: "no JSON"})
