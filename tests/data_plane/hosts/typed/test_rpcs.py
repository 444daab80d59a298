import asyncio
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelserving.v1.chat_pb2 import (
    ChatCompletionChunk,
    ChatMessage,
    ChatRequest,
    Function,
    Tool,
)
from modelserving.v1.completion_pb2 import CompletionRequest
from modelserving.v1.embedding_pb2 import EmbeddingRequest
from modelserving.v1.model_service_pb2 import DESCRIPTOR
from modelserving.v1.model_service_pb2_grpc import ModelServiceStub

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import Task
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, SERVED_MODEL, Metadata, as_mapping
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.grpc.rpc import Rpc
from modelplane.data_plane.hosts.typed.rpcs import TYPED_RPCS
from modelplane.data_plane.upstreams.streaming import encode_answer
from tests.adapters.providers.upstream import END, EVENT_STREAM, Upstream, chunk, document
from tests.data_plane.conftest import System, bounded, metadata, until_it_is_late
from tests.data_plane.corpus import CASES
from tests.data_plane.messages import endpoint, endpoint_config, snapshot
from tests.data_plane.typed import call_stream, call_unary, receive_stream
from tests.emulators.openai import API_KEY

HELLO = ChatRequest(model="chat", messages=[ChatMessage(role="user", text="hello there")])
DELTA = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
SERVICE_NAME = "modelserving.v1.ModelService"
PLAIN = CASES["plain"]


def rpc(name: str) -> Rpc:
    return next(rpc for rpc in TYPED_RPCS if rpc.name == name)


def asked(name: str, message: Any) -> tuple[Call, Any]:
    call = Call(Method.QUERY)
    rpc(name).read(message.SerializeToString(), call)
    return call, call.body


def extra(**fields: Any) -> Struct:
    value = Struct()
    value.update(fields)
    return value


def test_every_rpc_of_the_service_is_carried() -> None:
    service = DESCRIPTOR.services_by_name["ModelService"]
    assert {rpc.service for rpc in TYPED_RPCS} == {service.full_name} == {SERVICE_NAME}
    assert {method.name for method in service.methods} == {rpc.name for rpc in TYPED_RPCS}


@pytest.mark.parametrize(
    ("name", "message", "task", "body"),
    [
        (
            "Chat",
            HELLO,
            Task.CHAT,
            {"messages": [{"role": "user", "content": "hello there"}]},
        ),
        ("Complete", CompletionRequest(text="a"), Task.COMPLETIONS, {"prompt": "a"}),
        ("Embed", EmbeddingRequest(text="a"), Task.EMBEDDINGS, {"input": "a"}),
    ],
)
def test_a_request_becomes_that_of_a_rest_caller(
    name: str, message: Any, task: Task, body: Any
) -> None:
    named = type(message)(model="chat", served_model_name="gpt")
    named.MergeFrom(message)
    request, sent = asked(name, named)
    assert (rpc(name).task, request.name, request.served_model_name) == (task, "", "gpt")
    assert sent == {"model": "chat", **body}


@pytest.mark.parametrize(("name", "streams"), [("Chat", False), ("StreamChat", True)])
@pytest.mark.parametrize("told", [True, False, "true"])
def test_the_rpc_decides_whether_the_answer_streams(
    name: str,
    streams: bool,  # noqa: FBT001
    told: object,
) -> None:
    request = ChatRequest(model="chat", extra_params=extra(stream=told))
    assert asked(name, request)[1]["stream"] is streams


def test_a_message_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="ChatRequest"):
        rpc("Chat").read(b"\xff", Call(Method.QUERY))


class FakeOutlet:
    def __init__(self) -> None:
        self.metadata: Metadata = ()
        self.sent: list[bytes] = []
        self.refusal: Refusal | None = None

    async def start(self, metadata: Metadata) -> None:
        self.metadata = metadata

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def answer(self, metadata: Metadata, message: bytes) -> None:
        await self.start(metadata)
        await self.send(message)

    async def fail(self, refusal: Refusal) -> None:
        self.refusal = refusal


async def test_each_chunk_is_a_message_and_their_end_none() -> None:
    outlet = FakeOutlet()
    reply = rpc("StreamChat").reply(outlet)
    await reply.send([reply.encode({"id": "a"}), reply.encode({})], ended=True)
    chunks = [ChatCompletionChunk.FromString(message) for message in outlet.sent]
    assert chunks == [ChatCompletionChunk(id="a"), ChatCompletionChunk()]
    await reply.send((), ended=True)
    assert len(outlet.sent) == 2


def test_an_answer_nested_too_deeply_is_malformed() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    encode = rpc("Chat").reply(FakeOutlet()).encode
    with pytest.raises(MalformedAnswer):
        encode_answer("openai", "chat", encode, {"deep": deep})


@pytest.fixture
async def served(system: System) -> System:
    entities = (system.entity("current"), system.entity("challenger", model="gpt-4o"))
    config = endpoint_config(*entities, split={"current": 100, "challenger": 0})
    await system.apply(snapshot(1, endpoint("chat", config)))
    return system


async def serve_from(system: System, upstream: Upstream) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))


async def test_the_request_may_name_a_served_entity(served: System) -> None:
    request = ChatRequest(served_model_name="challenger")
    request.MergeFrom(HELLO)
    call = ModelServiceStub(served.channel).Chat(request, metadata=metadata(), timeout=240)
    assert (await call).choices[0].message.text.startswith("gpt-4o heard")
    assert as_mapping(await call.initial_metadata())[SERVED_MODEL] == "challenger"


async def test_unreadable_bytes_are_an_invalid_argument(served: System) -> None:
    chat: Any = served.channel.unary_unary(f"/{SERVICE_NAME}/Chat")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await chat(b"\xff", metadata=metadata())
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert as_mapping(refused.value.trailing_metadata())[REQUEST_ID]


async def test_a_schema_of_any_depth_goes_as_text(served: System) -> None:
    deep = '{"type": "object", "properties": {"a": ' + '{"items": ' * 150 + "{}" + "}" * 152
    tool = Tool(type="function", function=Function(name="f", parameters_json=deep))
    request = ChatRequest(tools=[tool], tool_mode="none")
    request.MergeFrom(HELLO)
    await ModelServiceStub(served.channel).Chat(request, metadata=metadata(), timeout=240)
    parameters = served.emulator.requests[-1].body["tools"][0]["function"]["parameters"]
    assert parameters == orjson.loads(deep)


@pytest.mark.parametrize(
    ("after", "code", "error_code", "status"),
    [
        (b"", grpc.StatusCode.UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", 503),
        (b"data: {broken\n\n", grpc.StatusCode.INTERNAL, "INTERNAL_ERROR", 500),
        (
            b'data: {"error": {"message": "slow down", "code": 429}}\n\n',
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "REQUEST_LIMIT_EXCEEDED",
            429,
        ),
    ],
)
async def test_a_stream_that_fails_ends_with_a_status(
    system: System,
    upstream: Upstream,
    after: bytes,
    code: grpc.StatusCode,
    error_code: str,
    status: int,
) -> None:
    await serve_from(system, upstream)
    upstream.say(EVENT_STREAM, chunk(DELTA))
    call = ModelServiceStub(system.channel).StreamChat(HELLO, metadata=metadata(x_request_id="r-1"))
    first: Any = await call.read()
    # Only now does the provider fail, so that the answer has surely begun.
    upstream.say(*([chunk(after)] if after else []), END)
    answer = await receive_stream(call)
    answer.messages.insert(0, first)
    assert [message.choices[0].delta.text for message in answer.messages] == ["a"]
    assert (answer.code, answer.error_code, answer.status) == (code, error_code, status)
    assert answer.trailers[REQUEST_ID] == "r-1"
    assert answer.headers[REQUEST_ID] == "r-1"
    assert answer.message
    value = system.registry.get_sample_value
    failed = {"endpoint": "chat", "served_entity": "gpt-4", "task": "llm/v1/chat", "status": "200"}
    # As in REST, the caller's answer had begun well.
    assert value("modelplane_requests_total", failed) == 1
    assert value("modelplane_requests_in_flight") == 0


@bounded(stream_idle_seconds=1.0)
async def test_a_stream_that_pauses_too_long_ends_with_a_status(served: System) -> None:
    served.emulator.misbehave("stall_stream", after_events=2)
    answer = await call_stream(served.channel, PLAIN, metadata())
    # Once the status is there, grpcio's client gives up on what it did not read yet.
    assert len(answer.messages) <= 2
    assert (answer.code, answer.status) == (grpc.StatusCode.DEADLINE_EXCEEDED, 504)
    assert "within 1 seconds" in answer.message
    await served.emulator.seen_cancelled.wait()


@pytest.mark.parametrize(("kind", "streams"), [("stall", False), ("stall_stream", True)])
async def test_cancellation_reaches_the_provider(
    served: System, kind: Any, *, streams: bool
) -> None:
    served.emulator.misbehave(kind, after_events=1)
    stub = ModelServiceStub(served.channel)
    if streams:
        stream = stub.StreamChat(HELLO, metadata=metadata())
        await stream.read()
        stream.cancel()
    else:
        call = stub.Chat(HELLO, metadata=metadata())
        while not served.emulator.requests:
            await asyncio.sleep(0.01)
        call.cancel()
    await served.emulator.seen_cancelled.wait()


@pytest.mark.parametrize(("kind", "streams"), [("stall", False), ("stall_stream", True)])
async def test_the_deadline_reaches_the_provider(
    served: System, kind: Any, *, streams: bool
) -> None:
    served.emulator.misbehave(kind, after_events=1)
    stub = ModelServiceStub(served.channel)
    rpc: Any = stub.StreamChat if streams else stub.Chat

    async def ask(seconds: float) -> None:
        call = rpc(HELLO, metadata=metadata(), timeout=seconds)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await (receive_all(call) if streams else call)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    await until_it_is_late(served.emulator, ask)


async def receive_all(call: Any) -> None:
    async for _ in call:
        pass


async def test_an_answer_of_another_shape_is_told_in_full(
    system: System, upstream: Upstream
) -> None:
    body = b'{"id":7,"choices":[{"message":{"content":5,"annotations":[{"a":1}]},"x":[null]}]}'
    await serve_from(system, upstream)
    upstream.say(document(body, headers="content-type: application/json\r\n"))
    answer = await call_unary(system.channel, PLAIN, metadata())
    [message] = answer.messages
    assert message.model == "chat"
    assert dict(message.extra_fields) == {"id": 7}
    [choice] = message.choices
    assert choice.message.extra_fields["content"] == 5
    assert choice.message.annotations[0]["a"] == 1
    assert list(choice.extra_fields["x"]) == [None]


async def test_no_prompt_or_key_is_in_a_typed_error(served: System) -> None:
    served.emulator.fail(status=401)
    answer = await receive_stream(ModelServiceStub(served.channel).StreamChat(HELLO))
    assert answer.status == 401
    answer = await call_unary(served.channel, PLAIN, metadata())
    assert answer.status == 403
    assert API_KEY not in answer.message
    assert "hello there" not in answer.message


async def test_the_service_has_its_health(served: System) -> None:
    health = health_pb2_grpc.HealthStub(served.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    assert answer.status != health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
