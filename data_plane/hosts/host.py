"""The host interface: what the service knows of whoever carries its calls.

The service is written against `Call` and `Reply`. Queries of the REST API are carried as they are
(`rest.py`); gRPC calls (`grpc/calls.py`) carry encoded messages and know only `Rpc` and
`Outlet`, with `grpc/http_body.py` for HTTP bodies and `typed/rpcs.py` for typed messages between.
Cancellation is asyncio's: a caller who went away cancels the task that answers.
"""

import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol
from uuid import uuid4

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, Metadata
from modelplane.adapters.shared.rpc.status import trailing_metadata
from modelplane.adapters.shared.rpc.varint import encode_varint
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.errors import STATUS_TABLE, Refusal, refusal_of

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_LENGTH_DELIMITED = 2


class Method(StrEnum):
    """What the service does, by the names of the RPCs of `InferenceService`."""

    QUERY = "Query"
    CREATE_CHAT_COMPLETION = "CreateChatCompletion"
    CREATE_COMPLETION = "CreateCompletion"
    CREATE_EMBEDDING = "CreateEmbedding"
    LIST_MODELS = "ListModels"


class Refused(Exception):
    """A call is refused in a way that is settled already."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status.error_code)
        self.refusal = refusal


@dataclass(slots=True)
class Request:
    """What an encoded request message asks for; the fields are those of `Call`."""

    name: str = ""
    served_model_name: str = ""
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class Call:
    """One call to the service. Its repr shows neither credentials nor the prompt.

    Attributes:
        method: What is asked for.
        name: Endpoint named in the path; empty where the body names it.
        served_model_name: Served entity named in the path; empty: the traffic split decides.
        body: The caller's JSON.
        metadata: Request metadata.
        request_id: Identifies the call in answers and logs.
        deadline_seconds: Time the caller grants; None: no limit of its own.
        receive: Waits for the rest of the request, which fills in what the head does not say; who
            calls is judged before. None: everything is here.
    """

    method: Method
    name: str = ""
    served_model_name: str = ""
    body: bytes = field(default=b"", repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_id: str = ""
    deadline_seconds: float | None = None
    receive: "Callable[[Call], Awaitable[None]] | None" = field(default=None, repr=False)


class Reply(Protocol):
    """Takes the answer to one call: metadata once, then JSON or events, then perhaps a failure."""

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the metadata, and say what follows."""

    def encode(self, document: JsonObject) -> bytes:
        """Return a JSON document as `send` takes it.

        Raises:
            TypeError: It cannot be encoded.
        """

    async def send(self, data: bytes) -> None:
        """Send an encoded document or whole events; returns when the transport takes more."""

    async def answer(self, content_type: str, metadata: Metadata, data: bytes) -> None:
        """Send the metadata and an encoded document, which is the whole answer."""

    async def fail(self, refusal: Refusal) -> None:
        """End a stream that has begun: say why it broke off."""


class Outlet(Protocol):
    """Takes the messages of one call to a host."""

    async def start(self, metadata: Metadata) -> None:
        """Send the initial metadata."""

    async def send(self, message: bytes) -> None:
        """Send an encoded message; returns when the transport takes more."""

    async def answer(self, metadata: Metadata, message: bytes) -> None:
        """Send the initial metadata and an encoded message, which is the only one."""

    async def fail(self, refusal: Refusal) -> None:
        """End the call with the status of a refusal, after the messages sent so far."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC, for whichever host carries it.

    Attributes:
        service: Full name of its service.
        name: Its name there.
        method: What it asks for.
        read: Returns what an encoded request message asks for.
        reply: Returns the reply that sends its answers as messages.
    """

    service: str
    name: str
    method: Method
    read: Callable[[bytes], Request]
    reply: Callable[[Outlet], Reply]


class Service(Protocol):
    """What a host serves."""

    async def answer(self, call: Call, reply: Reply) -> None:
        """Answer a call.

        Raises:
            Exception: The call is refused; `errors.refusal_of` says how.
        """


def request_id_of(metadata: Mapping[str, str]) -> str:
    """Return the id that the caller gave the call, or a new one."""
    request_id = metadata.get(REQUEST_ID, "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid4())


def refuse(error: Exception, request_id: str, metadata: Metadata = ()) -> Refusal:
    """Return how a call that failed is refused; a bug is logged, without its text.

    Args:
        error: What failed.
        request_id: Identifies the call.
        metadata: What the caller is told beside the error.
    """
    if isinstance(error, Refused):
        return error.refusal
    if STATUS_TABLE.status_of(error) is None:
        # The error's own text stays out: it may repeat the prompt.
        stack = "".join(traceback.format_tb(error.__traceback__))
        fields = log_fields(request_id=request_id, error=type(error).__name__, stack=stack)
        _log.error("a call failed", extra=fields)
    refusal = refusal_of(error, request_id)
    return replace(refusal, metadata=metadata) if metadata else refusal


def refusal_trailers(refusal: Refusal, request_id: str) -> Metadata:
    """Return the trailing metadata of a refused call."""
    own = trailing_metadata(refusal.status, refusal.retry_after)
    return (*own, (REQUEST_ID, request_id), *refusal.metadata)


def encode_field(number: int, value: bytes) -> bytes:
    """Return a field of a message that holds bytes, text, a message or packed numbers."""
    return encode_varint(number << 3 | _LENGTH_DELIMITED) + encode_varint(len(value)) + value
