"""What is written down of queries of hosted models, and what typed callers get."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelserving.v1 import model_service_pb2_grpc
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, UsageTrackingConfig
from modelserving.v1.chat_pb2 import ChatMessage, ChatRequest
from modelserving.worker.v1.usage_service_pb2 import UsageOutcome

from tests.data_plane.conftest import metadata
from tests.data_plane.envoy import Bridge
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.test_queries import CHAT, HELLO
from tests.data_plane.hosting.world import BODY, World, group
from tests.data_plane.messages import TOKEN
from tests.data_plane.typed import receive_stream
from tests.data_plane.usage.test_ledger import journal

TRACKED = AiGatewayConfig(usage_tracking_config=UsageTrackingConfig(enabled=True))
CHUNK = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}}]}


def events(*values: Any) -> list[bytes]:
    texts = [*(json.dumps(value).encode() for value in values), b"[DONE]"]
    return [b"data: " + text + b"\n\n" for text in texts]


async def outcome(
    world: World, server: ModelServer, directory: Path, body: Any, **rest: Any
) -> UsageOutcome:
    async with model_servers(server):
        await world.serve(group(server), gateway=TRACKED, **rest)
        assert (await world.ask(body)).status == 200
    # A caller of a stream has its end before the worker is done with it.
    await asyncio.sleep(0)
    while not (ended := journal(directory)[0]):
        await asyncio.sleep(0.01)
    [entry] = ended
    assert entry.endpoint_name == "iris"
    assert entry.task == rest.get("task", "")
    return entry.outcome


async def test_a_model_without_a_task_uses_no_tokens(world: World, tmp_path: Path) -> None:
    server = ModelServer(answer=json.dumps({"predictions": [1], "usage": CHAT["usage"]}).encode())
    written = await outcome(world, server, tmp_path, BODY)
    assert (written.status_code, written.served_entity_name) == (200, "iris-1")
    assert not written.HasField("input_tokens")
    assert not written.HasField("output_tokens")
    assert not written.estimated
    [attempt] = written.attempts
    assert (attempt.served_entity_name, attempt.error) == ("iris-1", "")


@pytest.mark.parametrize(
    ("task", "usage"),
    [
        ("agent/v1/chat", {"prompt_tokens": 3, "completion_tokens": 4}),
        ("llm/v1/chat", {"prompt_tokens": 3, "completion_tokens": 4}),
        ("agent/v1/responses", {"input_tokens": 3, "output_tokens": 4}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_that_a_model_counts_are_written(
    world: World, tmp_path: Path, task: str, usage: dict[str, int], *, stream: bool
) -> None:
    answer = CHAT | {"usage": usage}
    server = ModelServer(answer=json.dumps(answer).encode())
    if stream:
        server.events = events(CHUNK, CHUNK | {"usage": usage})
    written = await outcome(world, server, tmp_path, HELLO | {"stream": stream}, task=task)
    assert (written.input_tokens, written.output_tokens) == (3, 4)
    assert not written.estimated


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_stream_whose_end_was_sent_is_answered(
    world: World, bridge: Bridge, tmp_path: Path, *, leaves: bool
) -> None:
    server = ModelServer(events=events({"delta": 1}), lingers=True)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with (
        model_servers(server),
        httpx.AsyncClient(base_url=f"http://{bridge.target}", headers=headers) as client,
    ):
        await world.serve(group(server), gateway=TRACKED)
        path, body = "/serving-endpoints/iris/invocations", {"inputs": [1], "stream": True}
        async with client.stream("POST", path, json=body) as answer:
            read = b""
            async for piece in answer.aiter_raw():
                read += piece
                if leaves and read.endswith(b"data: [DONE]\n\n"):
                    break
        assert read.endswith(b"data: [DONE]\n\n")
        while not (ended := journal(tmp_path)[0]):
            await asyncio.sleep(0.01)
    written = ended[0].outcome
    assert (written.status_code, [one.error for one in written.attempts]) == (200, [""])


async def test_typed_callers_get_messages(world: World) -> None:
    server = ModelServer(answer=json.dumps(CHAT).encode())
    stub = model_service_pb2_grpc.ModelServiceStub(world.system.channel)
    request = ChatRequest(messages=[ChatMessage(role="user")], model="iris")
    async with model_servers(server):
        await world.serve(group(server), task="agent/v1/chat")
        answer = await stub.Chat(request, metadata=metadata(), timeout=240)
        assert answer.choices[0].message.role == "assistant"
        assert server.requests[0].json["messages"][0]["role"] == "user"
        server.events = events(CHUNK, CHUNK)
        streamed = await receive_stream(stub.StreamChat(request, metadata=metadata(), timeout=240))
        assert [message.id for message in streamed.messages] == ["1", "1"]
        assert server.requests[1].json["stream"] is True
        server.events = None
        server.answer = b"[1]"
        refused = await receive_stream(stub.StreamChat(request, metadata=metadata(), timeout=240))
    assert (refused.status, refused.messages) == (400, [])
    assert refused.message == "The model's answer is not what the call's task has."
