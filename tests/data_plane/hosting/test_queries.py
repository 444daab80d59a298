"""Queries of hosted models through a whole worker, with stand-ins for the model's processes."""

import asyncio
import json

import httpx
import pytest

from tests.data_plane.envoy import Bridge
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, GROUP, OTHER, World, group
from tests.data_plane.messages import TOKEN


async def test_the_callers_bytes_reach_the_replica_and_its_answer_comes_back(world: World) -> None:
    server = ModelServer(answer=b'{"predictions":  [0.1]}')
    async with model_servers(server):
        await world.serve(group(server), task="custom")
        answer = await world.ask(x_request_id="r-1")
    assert (answer.status, answer.messages) == (200, [b'{"predictions":  [0.1]}'])
    assert answer.headers == answer.headers | {
        "served-model-name": "iris-1",
        "x-modelplane-config-version": "1",
        "x-request-id": "r-1",
    }
    assert "x-modelplane-cold-start" not in answer.headers
    [request] = server.requests
    assert request.body == BODY
    assert request.headers == request.headers | {
        "authorization": "Bearer replica-token",
        "content-type": "application/json",
        "x-request-id": "r-1",
        "x-modelplane-task": "custom",
    }
    assert 0 < int(request.headers["x-modelplane-deadline-ms"]) <= 597_000


async def test_a_cold_group_is_woken_and_waited_for(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group())
        asked = world.asking(3)
        assert (await world.woken()).waiting >= 1
        # The wake is for the first one; all are to have waited.
        await world.until_so_many_wait(3)
        await world.put(group(server))
        for answer in await asyncio.gather(*asked):
            assert answer.status == 200
            assert int(answer.headers["x-modelplane-cold-start"]) >= 0


async def test_a_rest_call_gets_the_same(world: World, bridge: Bridge) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}") as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            answer = await client.post("/serving-endpoints/iris/invocations", content=BODY)
    assert (answer.status_code, answer.content) == (200, server.answer)
    assert server.requests[0].body == BODY


async def test_nothing_of_a_callers_headers_reaches_the_model(world: World, bridge: Bridge) -> None:
    smuggled = {
        "authorization": f"Bearer {TOKEN}",
        "x-modelplane-deadline-ms": "1",
        "x-modelplane-task": "llm/v1/chat",
        "x-modelplane-load": "999999",
        "x-request-id": "r-1",
        "cookie": "session=secret",
        "x-mlflow-return-trace-id": "true",
    }
    async with model_servers(server := ModelServer()):
        await world.serve(group(server))
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}") as client:
            path = "/serving-endpoints/iris/invocations"
            answer = await client.post(path, content=BODY, headers=smuggled)
    assert answer.status_code == 200
    [request] = server.requests
    own = {"host", "accept", "accept-encoding", "user-agent", "content-length", "content-type"}
    own |= {"authorization", "x-request-id", "x-modelplane-deadline-ms"}
    assert set(request.headers) <= own
    assert "httpx" not in request.headers["user-agent"]
    assert request.headers["authorization"] == "Bearer replica-token"
    assert int(request.headers["x-modelplane-deadline-ms"]) > 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'[{"inputs": 1}]', b"1", b'{"a": "\xff"}', b"[" * 600_000]
)
async def test_what_is_no_json_object_asks_and_wakes_nobody(world: World, body: bytes) -> None:
    await world.serve(group())
    answer = await world.ask(body)
    assert (answer.status, answer.error_code) == (400, "BAD_REQUEST")
    await world.put(group())
    assert world.told == []


@pytest.mark.parametrize("size", [700_000, 8_000_000])
async def test_a_table_of_many_numbers_is_passed_on(
    world: World, bridge: Bridge, size: int
) -> None:
    body = b'{"instances": [[' + b"1," * size + b"1]]}"
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        assert (await world.ask(body)).status == 200
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}", timeout=240) as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            answer = await client.post("/serving-endpoints/iris/invocations", content=body)
    assert answer.status_code == 200
    assert [request.body == body for request in server.requests] == [True, True]


async def test_the_longest_body_is_passed_on_and_no_longer_one(
    world: World, bridge: Bridge
) -> None:
    body = b'{"inputs": "' + b"x" * ((16 << 20) - 14) + b'"}'
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        assert (await world.ask(body)).status == 200
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}", timeout=240) as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            path = "/serving-endpoints/iris/invocations"
            assert (await client.post(path, content=body)).status_code == 200
            refused = await client.post(path, content=body + b" ")
    assert refused.status_code == 400
    assert "at most 16 MiB" in refused.json()["message"]
    assert [request.body == body for request in server.requests] == [True, True]


async def test_labels_are_checked_and_stay_in_the_body(world: World) -> None:
    server = ModelServer()
    body = {"inputs": [1], "client_request_id": "c-1", "usage_context": {"a": "b"}}
    async with model_servers(server):
        await world.serve(group(server))
        assert (await world.ask(body)).status == 200
        refused = await world.ask(body | {"usage_context": 1})
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert [request.json for request in server.requests] == [body]


TIMED_OUT = "Timed out while evaluating the model."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error_code": "BAD_REQUEST", "message": "No."}, (400, "BAD_REQUEST", "No.")),
        (
            400,
            {"error_code": "INVALID_PARAMETER_VALUE", "message": "Missing inputs ['a']."},
            (400, "INVALID_PARAMETER_VALUE", "Missing inputs ['a']."),
        ),
        (413, {"error_code": "BAD_REQUEST", "message": "Long."}, (400, "BAD_REQUEST", "Long.")),
        (429, {"message": "Later."}, (429, "REQUEST_LIMIT_EXCEEDED", "Later.")),
        (500, {"error_code": "INTERNAL", "message": "Oh."}, (400, "BAD_REQUEST", "Oh.")),
        (503, {}, (400, "BAD_REQUEST", "Encountered an unexpected error while evaluating")),
        (404, b"<html>", (400, "BAD_REQUEST", "Encountered an unexpected error while evaluating")),
        (504, {"message": "x"}, (504, "DEADLINE_EXCEEDED", TIMED_OUT)),
    ],
)
async def test_what_a_model_refuses_is_the_callers_matter(
    world: World, status: int, body: object, expected: tuple[int, str, str]
) -> None:
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    server = ModelServer(status=status, answer=answer)
    async with model_servers(server):
        await world.serve(group(server))
        refused = await world.ask()
    assert (refused.status, refused.error_code) == expected[:2]
    assert refused.message.startswith(expected[2])
    assert len(server.requests) == 1


async def test_a_model_that_takes_too_long_is_given_up(hasty: World) -> None:
    server = ModelServer(hangs=True)
    async with model_servers(server):
        await hasty.serve(group(server))
        answer = await hasty.ask()
        while not server.requests:
            # A busy machine has not reached the model in time.
            answer = await hasty.ask()
        assert int(server.requests[0].headers["x-modelplane-deadline-ms"]) <= 300
        assert (answer.status, answer.error_code) == (504, "DEADLINE_EXCEEDED")
        assert answer.message.startswith(TIMED_OUT)
        while not server.cancelled:
            await asyncio.sleep(0.01)


EVENTS = [b'data: {"delta":  1}\n\n', b'data: {"delta": 2}\n', b"\n", b"data: [DONE]\n\n"]
STREAM = BODY[:-1] + b', "stream": true}'


async def test_a_stream_is_relayed_as_it_is(world: World, bridge: Bridge) -> None:
    server = ModelServer(events=EVENTS)
    async with model_servers(server):
        await world.serve(group(server), task="agent/v1/responses")
        answer = await world.ask(STREAM)
        assert answer.content_type == "text/event-stream; charset=utf-8"
        assert answer.events == [{"delta": 1}, {"delta": 2}, "[DONE]"]
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}") as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            rest = await client.post("/serving-endpoints/iris/invocations", content=STREAM)
    assert rest.content == b"".join(EVENTS)
    assert rest.headers["served-model-name"] == "iris-1"
    assert [request.body for request in server.requests] == [STREAM, STREAM]


async def test_a_model_that_cannot_stream_is_not_woken_for_it(world: World) -> None:
    await world.serve(group(), streams=False)
    answer = await world.ask(STREAM)
    assert (answer.status, answer.error_code) == (400, "BAD_REQUEST")
    assert answer.message == "This model does not support predict_stream method."


@pytest.mark.parametrize("tells", [False, True])
async def test_a_stream_that_breaks_off_says_why(world: World, *, tells: bool) -> None:
    error = [b'data: {"error": {"message": "It broke."}}\n\n', b"data: [DONE]\n\n"]
    events = [EVENTS[0], *error] if tells else EVENTS[:1]
    server = ModelServer(events=events, breaks=not tells)
    async with model_servers(server):
        await world.serve(group(server))
        first, last = (await world.ask(STREAM)).events
    assert first == {"delta": 1}
    assert last["error"]["message"].startswith("It broke." if tells else "The process of served")
    assert last["error"]["code"] == ("BAD_REQUEST" if tells else "BAD_GATEWAY")


async def test_an_error_before_the_first_event_has_its_own_status(world: World) -> None:
    server = ModelServer(events=[b'data: {"error": {"message": "It broke."}}\n\n'])
    async with model_servers(server):
        await world.serve(group(server))
        answer = await world.ask(STREAM)
    assert (answer.status, answer.message) == (400, "It broke.")


async def test_a_caller_who_leaves_a_stream_ends_it(world: World) -> None:
    server = ModelServer(events=EVENTS[:1] * 1000, seconds=0.05)
    async with model_servers(server):
        await world.serve(group(server))
        call = world.system.start_query("iris", STREAM)
        await call.read()
        call.cancel()
        # The place is free again, as the next report says.
        await world.until(lambda told: any(not one.in_flight for one in told.demand.groups))


HELLO = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = {
    "id": "1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ho"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


@pytest.mark.parametrize("task", ["agent/v1/chat", "agent/v2/chat", "llm/v1/chat"])
async def test_openai_routes_reach_models_that_chat(world: World, task: str) -> None:
    server = ModelServer(answer=json.dumps(CHAT).encode())
    async with model_servers(server):
        await world.serve(group(server), task=task)
        body = json.dumps(HELLO | {"model": "iris"}).encode()
        answer = await world.system.openai("CreateChatCompletion", body)
        assert answer.json == CHAT
        assert server.requests[0].body == body
        refused = await world.system.openai("CreateEmbedding", {"model": "iris", "input": "a"})
        assert refused.status == 400
        assert task in refused.message


async def test_openai_routes_say_that_a_model_has_no_such_task(world: World) -> None:
    await world.serve(group())
    answer = await world.system.openai("CreateChatCompletion", HELLO | {"model": "iris"})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert "/serving-endpoints/iris/invocations" in answer.message


async def test_a_cold_entity_of_a_split_is_waited_for_and_not_replaced(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        split = {"cold": OTHER, "warm": GROUP}
        shares = {"cold": 100, "warm": 0}
        groups = (group(server), group(group_id=OTHER))
        await world.serve(*groups, split=split, shares=shares)
        [asked] = world.asking(1)
        assert (await world.woken(OTHER)).waiting == 1
        assert server.requests == []
        await world.put(group(server, group_id=OTHER))
        assert (await asked).headers["served-model-name"] == "cold"


async def test_the_path_of_a_served_model_wakes_one_without_traffic(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        split = {"none": OTHER, "all": GROUP}
        await world.serve(
            group(server), group(group_id=OTHER), split=split, shares={"none": 0, "all": 100}
        )
        [asked] = world.asking(1, served="none")
        assert (await world.woken(OTHER)).waiting == 1
        await world.put(group(server, group_id=OTHER))
        assert (await asked).headers["served-model-name"] == "none"
        assert (await world.ask()).headers["served-model-name"] == "all"
