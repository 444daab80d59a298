"""The host interface: what the service knows of whoever carries its calls.

The service is written against `Call` and `Reply`; `grpc_host.py` carries them over grpc.aio. Both
sides of the wire are encoded here, so that any other host answers byte for byte the same.
Cancellation is asyncio's: a caller who went away cancels the task that answers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol
from uuid import uuid4

from modelserving.v1 import inference_service_pb2 as pb

from adapters.rpc.metadata import REQUEST_ID, Metadata

SERVICE_NAME = "modelserving.v1.InferenceService"

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_SEVEN_BITS = 0x7F


class Method(StrEnum):
    """RPCs of the inference service."""

    QUERY = "Query"
    CREATE_CHAT_COMPLETION = "CreateChatCompletion"
    CREATE_COMPLETION = "CreateCompletion"
    CREATE_EMBEDDING = "CreateEmbedding"
    LIST_MODELS = "ListModels"


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the service. Its repr shows neither credentials nor the prompt.

    Attributes:
        method: RPC called.
        name: Endpoint named in the path; empty where the body names it.
        served_model_name: Served entity named in the path; empty: the traffic split decides.
        body: The caller's JSON.
        metadata: Request metadata.
        request_id: Identifies the call in answers and logs.
        deadline_seconds: Time the caller grants; None: no limit of its own.
    """

    method: Method
    name: str = ""
    served_model_name: str = ""
    body: bytes = field(default=b"", repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_id: str = ""
    deadline_seconds: float | None = None


class Reply(Protocol):
    """Takes the answer to one call: metadata once, then messages."""

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the metadata; the content type goes with the first message."""

    async def send(self, data: bytes) -> None:
        """Send a message; returns when the transport takes more."""


class Service(Protocol):
    """What a host serves."""

    async def answer(self, call: Call, reply: Reply) -> None:
        """Answer a call.

        Raises:
            Exception: The call is refused; `errors.refusal_of` says how.
        """


def parse_call(
    method: Method, message: bytes, metadata: Mapping[str, str], deadline_seconds: float | None
) -> Call:
    """Return the call in an encoded request message.

    Raises:
        google.protobuf.message.DecodeError: `message` is not of the method's request type.
    """
    request_id = metadata.get(REQUEST_ID, "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = str(uuid4())
    if method is Method.QUERY:
        query = pb.QueryRequest.FromString(message)
        name, served, body = query.name, query.served_model_name, query.payload.data
    elif method is Method.LIST_MODELS:
        name, served, body = "", "", b""
    else:
        name, served, body = "", "", pb.OpenAiRequest.FromString(message).payload.data
    return Call(method, name, served, body, metadata, request_id, deadline_seconds)


@lru_cache(maxsize=16)
def encode_content_type(content_type: str) -> bytes:
    """Return field 1 of `google.api.HttpBody`."""
    value = content_type.encode()
    return b"\x0a" + _varint(len(value)) + value


def encode_data(data: bytes) -> bytes:
    """Return field 2 of `google.api.HttpBody`; building the message would copy `data` twice."""
    return b"\x12" + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > _SEVEN_BITS:
        encoded.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
