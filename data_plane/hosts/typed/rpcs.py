"""The typed RPCs: each is a call with an HTTP body, in and out of typed messages.

A request becomes the JSON object that a REST caller would send, and takes the same way through
`invocation.py`; only its answer becomes messages again. `writer.py` and `reader.py`
convert, `../grpc/http_body.py` holds the RPCs of the REST form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.tasks import MODELS, task_of
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.grpc.rpc import Outlet, Rpc
from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.writer import write


class TypedReply:
    """Answers a call with one typed message, or with one for each chunk; see `call.Reply`."""

    __slots__ = ("_message_class", "_outlet")

    def __init__(self, outlet: Outlet, message_class: type[Message]) -> None:
        self._outlet = outlet
        self._message_class = message_class

    def encode(self, document: JsonObject) -> bytes:
        """Return the encoded message that a document stands for."""
        try:
            return read(self._message_class, document).SerializeToString()
        except RecursionError:
            raise TypeError("nested too deeply") from None

    def pass_on(self, document: bytes) -> bytes:
        """Return the encoded message that a JSON text stands for."""
        value = orjson.loads(document)
        if not isinstance(value, dict):
            raise TypeError("no object")
        return self.encode(value)

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Send the only message."""
        await self._outlet.answer(metadata, document)

    async def start(self, metadata: Metadata) -> None:
        """Send the metadata."""
        await self._outlet.start(metadata)

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        """Send the messages; the end of the call stands for their end."""
        del ended
        for chunk in chunks:
            await self._outlet.send(chunk)

    async def fail(self, refusal: Refusal) -> None:
        """End the call with the status of a refusal."""
        await self._outlet.fail(refusal)


@dataclass(frozen=True, slots=True)
class _TypedRpc:
    """What becomes of a typed RPC's messages."""

    request: type[Message]
    answer: type[Message]
    streams: bool

    def read(self, message: bytes, call: Call) -> None:
        """Fill a call in with what an encoded request message asks for.

        Raises:
            MalformedRequest: It cannot be decoded, or holds what no JSON can.
        """
        try:
            body = write(self.request.FromString(message))
        except DecodeError:
            raise MalformedRequest(
                f"The request is no {self.request.DESCRIPTOR.name}, or is nested too deeply."
            ) from None
        call.served_model_name = str(body.pop("served_model_name", ""))
        extra = body.get("extra_params")
        # The RPC decides, so that an extra parameter does not.
        if self.streams or (isinstance(extra, dict) and "stream" in extra):
            body["stream"] = self.streams
        call.body = body

    def new_reply(self, outlet: Outlet) -> Reply:
        """Return the reply that sends answers as messages."""
        return TypedReply(outlet, self.answer)


def _rpc(rpc: MethodDescriptor) -> Rpc:
    request, answer = GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type)
    typed = _TypedRpc(request, answer, rpc.server_streaming)
    return Rpc(MODELS.full_name, rpc.name, Method.QUERY, task_of(rpc), typed.read, typed.new_reply)


TYPED_RPCS = tuple(map(_rpc, MODELS.methods))
