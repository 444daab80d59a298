"""Guardrails before and behind models that are hosted here, whatever form these take."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig

from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import World, group

MAIL = "john@example.com"
MASK = {"pii": {"behavior": "MASK"}, "invalid_keywords": ["blue falcon"]}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": f"Ask {MAIL}"}]}


def gateway(**sides: object) -> AiGatewayConfig:
    return json_format.ParseDict({"guardrails": sides}, AiGatewayConfig())


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: %b\n\n" % json.dumps({"id": "1", "choices": [choice]}).encode()


def chatting(*pieces: str) -> list[bytes]:
    return [
        *(event({"content": piece}) for piece in pieces),
        event({}, "stop"),
        b"data: [DONE]\n\n",
    ]


async def test_a_table_and_its_predictions_are_masked(world: World) -> None:
    server = ModelServer(answer=json.dumps([f"to {MAIL}", {"id": MAIL}, 4111111111111111]).encode())
    async with model_servers(server):
        await world.serve(group(server), gateway=gateway(input=MASK, output=MASK))
        table = {"columns": ["text", "n"], "data": [[f"from {MAIL}", 4111111111111111]]}
        answer = await world.ask({"dataframe_split": table})
        blocked = await world.ask({"inputs": {"name": ["Blue Falcon"]}})
    [request] = server.requests
    masked = table | {"data": [["from <EMAIL_ADDRESS>", 4111111111111111]]}
    assert request.json == {"dataframe_split": masked}
    assert answer.json == ["to <EMAIL_ADDRESS>", {"id": "<EMAIL_ADDRESS>"}, 4111111111111111]
    assert blocked.status == 400


async def test_what_passes_keeps_its_bytes(world: World) -> None:
    server = ModelServer()
    body = b'{"inputs":  ["a",  1.0]}'
    async with model_servers(server):
        await world.serve(group(server), gateway=gateway(input=MASK))
        answer = await world.ask(body)
    assert server.requests[0].body == body
    assert answer.messages == [server.answer]


async def test_an_agents_answer_is_blocked(world: World) -> None:
    said = {"choices": [{"message": {"role": "assistant", "content": MAIL}}]}
    server = ModelServer(answer=json.dumps(said).encode())
    async with model_servers(server):
        block = {"pii": {"behavior": "BLOCK"}}
        await world.serve(group(server), task="agent/v1/chat", gateway=gateway(output=block))
        answer = await world.ask(CHAT)
    assert answer.status == 400
    assert "output_guardrail_triggered" in answer.message
    assert server.requests[0].json == CHAT


@pytest.mark.parametrize("task", ["llm/v1/chat", "agent/v1/chat"])
async def test_a_stream_is_masked_and_ended(world: World, task: str) -> None:
    server = ModelServer(events=chatting("Ask ", "john@", "exam", "ple.com", " now"))
    async with model_servers(server):
        await world.serve(group(server), task=task, gateway=gateway(output=MASK))
        masked = await world.ask(CHAT | {"stream": True})
        server.events = chatting("So ", "blue fal", "con", " it is")
        ended = await world.ask(CHAT | {"stream": True})
        server.events = chatting("blue falcon")
        refused = await world.ask(CHAT | {"stream": True})
    said = [one["choices"][0]["delta"].get("content", "") for one in masked.events[:-1]]
    assert "".join(said) == "Ask <EMAIL_ADDRESS> now"
    *said, last, done = ended.events
    assert "".join(one["choices"][0]["delta"]["content"] for one in said) == "So "
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert done == "[DONE]"
    assert refused.status == 400


async def test_a_stream_of_another_form_is_refused(world: World) -> None:
    server = ModelServer(events=[b'data: {"delta": "a"}\n\n'])
    async with model_servers(server):
        for task in ("agent/v2/chat", "agent/v1/responses", "custom"):
            await world.serve(group(server), task=task, gateway=gateway(output=MASK))
            answer = await world.ask(CHAT | {"stream": True})
            assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
            assert "leave out 'stream'" in answer.message
    assert not server.requests
