"""An RPC, and the outlet of its messages, for whoever carries gRPC calls.

`calls.py` carries them, and knows encoded messages only; `http_body.py` and `../typed/rpcs.py` hold
what the messages say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.rpc.varint import encode_varint
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.errors import Refusal

_LENGTH_DELIMITED = 2


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
        task: Task that its queries are for, in the manner of the OpenAI API; empty: none.
        read: Fills a call in with what an encoded request message asks for; may raise
            `DecodeError`.
        reply: Returns the reply that sends its answers as messages.
    """

    service: str
    name: str
    method: Method
    task: str
    read: Callable[[bytes, Call], None]
    reply: Callable[[Outlet], Reply]


def encode_field(number: int, value: bytes) -> bytes:
    """Return a field of a message that holds bytes, text, a message or packed numbers."""
    return encode_varint(number << 3 | _LENGTH_DELIMITED) + encode_varint(len(value)) + value
