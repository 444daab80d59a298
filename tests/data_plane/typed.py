"""Sends requests with typed messages, as a caller who has only their JSON would."""

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from modelserving.v1 import model_service_pb2_grpc
from modelserving.v1.chat_pb2 import ChatRequest
from modelserving.v1.completion_pb2 import CompletionRequest
from modelserving.v1.embedding_pb2 import EmbeddingRequest

from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, as_mapping
from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.writer import write
from tests.data_plane.corpus import Case, Json

REQUESTS: dict[str, type[Message]] = {
    "CreateChatCompletion": ChatRequest,
    "CreateCompletion": CompletionRequest,
    "CreateEmbedding": EmbeddingRequest,
}
UNARY = {"CreateChatCompletion": "Chat", "CreateCompletion": "Complete", "CreateEmbedding": "Embed"}
STREAM = {"CreateChatCompletion": "StreamChat", "CreateCompletion": "StreamComplete"}


@dataclass
class TypedAnswer:
    """What a typed caller got; the status is that of REST."""

    status: int = 200
    code: grpc.StatusCode = grpc.StatusCode.OK
    error_code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)


def typed_request(case: Case, **more: Any) -> Message:
    """Return the typed form of a case."""
    body = case.body | more | ({"extra_params": case.extra} if case.extra else {})
    return read(REQUESTS[case.method], with_schemas_as_text(body))


def with_schemas_as_text(value: Any) -> Any:
    """Return a body whose JSON schemas are texts, which keep the order of their properties."""
    if isinstance(value, dict):
        return {
            key: json.dumps(item) if key in ("parameters", "schema") else with_schemas_as_text(item)
            for key, item in value.items()
        }
    return [with_schemas_as_text(item) for item in value] if isinstance(value, list) else value


async def call_unary(
    channel: grpc.aio.Channel, case: Case, metadata: Any, **options: Any
) -> TypedAnswer:
    rpc = getattr(model_service_pb2_grpc.ModelServiceStub(channel), UNARY[case.method])
    call = rpc(typed_request(case), metadata=metadata, timeout=240, **options)

    async def receive(answer: TypedAnswer) -> None:
        answer.messages.append(await call)

    return await _collect(call, receive)


async def call_stream(
    channel: grpc.aio.Channel, case: Case, metadata: Any, **more: Any
) -> TypedAnswer:
    rpc = getattr(model_service_pb2_grpc.ModelServiceStub(channel), STREAM[case.method])
    return await receive_stream(rpc(typed_request(case, **more), metadata=metadata, timeout=240))


async def receive_stream(call: Any) -> TypedAnswer:
    async def receive(answer: TypedAnswer) -> None:
        while (message := await call.read()) is not grpc.aio.EOF:
            answer.messages.append(message)

    return await _collect(call, receive)


async def _collect(call: Any, receive: Callable[[TypedAnswer], Any]) -> TypedAnswer:
    answer = TypedAnswer()
    try:
        await receive(answer)
        answer.trailers = dict(as_mapping(await call.trailing_metadata()))
    except grpc.aio.AioRpcError as error:
        answer.trailers = dict(as_mapping(error.trailing_metadata()))
        answer.status = int(answer.trailers.get(HTTP_STATUS, "0"))
        answer.error_code = answer.trailers.get(ERROR_CODE, "")
        answer.code, answer.message = error.code(), error.details() or ""
    answer.headers = dict(as_mapping(await call.initial_metadata()))
    return answer


def as_json(message: Message) -> Any:
    """Return the JSON of a typed answer, in the form of `canonical`."""
    return canonical(write(message))


def canonical(value: Any) -> Any:
    """Return JSON without what a typed message cannot tell: null and empty lists are absent."""
    if isinstance(value, dict):
        items = {key: canonical(item) for key, item in value.items()}
        return {
            key: _floats(item) if key == "embedding" else item
            for key, item in items.items()
            if item not in (None, [])
        }
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


def _floats(value: Any) -> list[float]:
    packed = (
        base64.b64decode(value)
        if isinstance(value, str)
        else struct.pack(f"<{len(value)}f", *value)
    )
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def exact(body: Json) -> str:
    """Return JSON as text, which tells 1 from 1.0 and true."""
    return json.dumps(body, sort_keys=True)
