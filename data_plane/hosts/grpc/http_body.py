"""The RPCs that carry HTTP bodies: requests and answers are the JSON and the events of REST.

`invocation.py` answers them; `../typed/rpcs.py` holds their typed form.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import orjson
from google.protobuf.descriptor import MethodDescriptor
from modelserving.v1 import inference_service_pb2 as pb

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.rpc.tasks import INFERENCE, task_of
from modelplane.data_plane.calls.call import Method, Request
from modelplane.data_plane.calls.events import encode_error_line
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.grpc.rpc import Outlet, Rpc, encode_field

SERVICE_NAME = INFERENCE.full_name


class HttpBodyReply:
    """Answers a call with messages of type `google.api.HttpBody`; see `call.Reply`."""

    __slots__ = ("_outlet", "_prefix")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._prefix = b""

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the metadata; the content type goes with the first message."""
        self._prefix = encode_content_type(content_type)
        await self._outlet.start(metadata)

    def encode(self, document: JsonObject) -> bytes:
        """Return the document as JSON."""
        return orjson.dumps(document)

    async def send(self, data: bytes) -> None:
        """Send one message."""
        message = self._prefix + encode_data(data)
        self._prefix = b""
        await self._outlet.send(message)

    async def answer(self, content_type: str, metadata: Metadata, data: bytes) -> None:
        """Send the only message."""
        message = encode_content_type(content_type) + encode_data(data)
        await self._outlet.answer(metadata, message)

    async def fail(self, refusal: Refusal) -> None:
        """Send the line that ends the stream: a REST caller never sees the status of a call."""
        await self.send(encode_error_line(refusal.status.error_code, refusal.message))


@lru_cache(maxsize=16)
def encode_content_type(content_type: str) -> bytes:
    """Return field 1 of `google.api.HttpBody`."""
    return encode_field(1, content_type.encode())


def encode_data(data: bytes) -> bytes:
    """Return field 2 of `google.api.HttpBody`; building the message would copy `data` twice."""
    return encode_field(2, data)


def _read_query(message: bytes) -> Request:
    query = pb.QueryRequest.FromString(message)
    return Request(query.name, query.served_model_name, query.payload.data)


def _read_openai(message: bytes) -> Request:
    return Request(body=pb.OpenAiRequest.FromString(message).payload.data)


def _read_nothing(_: bytes) -> Request:
    return Request()


# By what is sent: what is asked for, and who reads it.
_READERS: Mapping[str, tuple[Method, Callable[[bytes], Request]]] = {
    pb.QueryRequest.DESCRIPTOR.full_name: (Method.QUERY, _read_query),
    pb.OpenAiRequest.DESCRIPTOR.full_name: (Method.QUERY, _read_openai),
    pb.ListModelsRequest.DESCRIPTOR.full_name: (Method.LIST_MODELS, _read_nothing),
}


def _rpc(rpc: MethodDescriptor) -> Rpc:
    method, read = _READERS[rpc.input_type.full_name]
    return Rpc(SERVICE_NAME, rpc.name, method, task_of(rpc), read, HttpBodyReply)


HTTP_BODY_RPCS = tuple(map(_rpc, INFERENCE.methods))
