"""The RPCs that carry HTTP bodies: requests and answers are the JSON and the events of REST.

`invocation.py` answers them; `../typed/rpcs.py` holds their typed form.
"""

from collections.abc import Callable, Mapping, Sequence

import orjson
from google.protobuf.descriptor import MethodDescriptor
from modelserving.v1 import inference_service_pb2 as pb

from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.tasks import INFERENCE, task_of
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.carrying import JSON, as_it_is
from modelplane.data_plane.hosts.events import EVENT_STREAM, encode_error, encode_events
from modelplane.data_plane.hosts.grpc.rpc import Outlet, Rpc, encode_field

SERVICE_NAME = INFERENCE.full_name


class HttpBodyReply:
    """Answers a call with messages of type `google.api.HttpBody`; see `call.Reply`."""

    # Without a frame of its own: each chunk comes here.
    encode = staticmethod(orjson.dumps)
    pass_on = staticmethod(as_it_is)

    __slots__ = ("_outlet", "_prefix")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        # The content type goes with the first message.
        self._prefix = _EVENT_STREAM

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Send the only message."""
        await self._outlet.answer(metadata, _JSON + encode_data(document))

    async def start(self, metadata: Metadata) -> None:
        """Send the metadata."""
        await self._outlet.start(metadata)

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        """Send chunks as one message of events."""
        await self._send(encode_events(chunks, ended=ended))

    async def fail(self, refusal: Refusal) -> None:
        """Send the event that ends the stream, and let the call end with the status of the refusal.

        Whoever passes the events on to a REST caller has no status to pass on any more.
        """
        await self._send(encode_error(refusal))
        await self._outlet.fail(refusal)

    async def _send(self, data: bytes) -> None:
        message = self._prefix + encode_data(data)
        self._prefix = b""
        await self._outlet.send(message)


def encode_content_type(content_type: str) -> bytes:
    """Return field 1 of `google.api.HttpBody`."""
    return encode_field(1, content_type.encode())


def encode_data(data: bytes) -> bytes:
    """Return field 2 of `google.api.HttpBody`; building the message would copy `data` twice."""
    return encode_field(2, data)


_JSON, _EVENT_STREAM = encode_content_type(JSON), encode_content_type(EVENT_STREAM)


def _read_query(message: bytes, call: Call) -> None:
    query = pb.QueryRequest.FromString(message)
    call.name, call.served_model_name = query.name, query.served_model_name
    call.body = query.payload.data


def _read_openai(message: bytes, call: Call) -> None:
    call.body = pb.OpenAiRequest.FromString(message).payload.data


def _read_check(message: bytes, call: Call) -> None:
    call.body = pb.CheckGuardrailsRequest.FromString(message).payload.data


def _read_name(message: bytes, call: Call) -> None:
    call.name = pb.GetModelRequest.FromString(message).name


def _read_nothing(message: bytes, call: Call) -> None:
    del message, call


# By what is sent: what is asked for, and who reads it.
_READERS: Mapping[str, tuple[Method, Callable[[bytes, Call], None]]] = {
    pb.QueryRequest.DESCRIPTOR.full_name: (Method.QUERY, _read_query),
    pb.OpenAiRequest.DESCRIPTOR.full_name: (Method.QUERY, _read_openai),
    pb.CheckGuardrailsRequest.DESCRIPTOR.full_name: (Method.CHECK_GUARDRAILS, _read_check),
    pb.ListModelsRequest.DESCRIPTOR.full_name: (Method.LIST_MODELS, _read_nothing),
    pb.GetModelRequest.DESCRIPTOR.full_name: (Method.GET_MODEL, _read_name),
}


def _rpc(rpc: MethodDescriptor) -> Rpc:
    method, read = _READERS[rpc.input_type.full_name]
    return Rpc(SERVICE_NAME, rpc.name, method, task_of(rpc), read, HttpBodyReply)


HTTP_BODY_RPCS = tuple(map(_rpc, INFERENCE.methods))
