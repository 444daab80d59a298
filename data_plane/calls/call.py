"""A call and its reply: what the service knows of whoever asks, and of the host that carries it.

A host (`hosts/`) makes the call, `invocation.py` answers it. Cancellation is asyncio's: a caller
who went away cancels the task that answers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.native import NativeCall
from modelplane.data_plane.errors import Refusal


class Method(Enum):
    """What the service does."""

    # Answers a query.
    QUERY = auto()
    # Lists the endpoints that the caller may query.
    LIST_MODELS = auto()
    # Tells of one of them.
    GET_MODEL = auto()
    # Tells about how many tokens a query has.
    COUNT_TOKENS = auto()


def allow(_size: int) -> None:
    """Take a body of any size."""


@dataclass(slots=True)
class Call:
    """One call to the service. Its repr shows neither credentials nor the prompt.

    Attributes:
        method: What is asked for.
        metadata: Request metadata.
        request_id: Identifies the call in answers and logs.
        task: Task that a query is for, whose body then names the endpoint in the manner of the
            OpenAI API; empty: that of the endpoint which the path names.
        name: Endpoint named in the path.
        body: The caller's JSON object, encoded or not.
        receive: Waits for the rest of the request, which fills in what the head does not say; who
            calls is judged before. None: everything is here.
        native: What is known of a request in another form than the canonical one.
        speaker: Of a query that its path sends to an endpoint, whatever API's it is; else None.
        reply: Takes the answer in place of the one that came with the call; None: that one does.
        answers_blocks: Whether a call that guardrails block is answered as a model that refuses:
            agents would send a turn that was refused otherwise again and again.
        served_model_name: Served entity named in the path; empty: the traffic split decides.
        deadline_seconds: Time the caller grants; None: no limit of its own.
        arriving: Told how many bytes of the body have arrived while the rest is waited for; raises
            where there is no room for them.
    """

    method: Method
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_id: str = ""
    task: str = ""
    name: str = ""
    body: bytes | JsonObject = field(default=b"", repr=False)
    receive: "Callable[[Call], Awaitable[None]] | None" = field(default=None, repr=False)
    native: NativeCall | None = None
    speaker: "Speaker | None" = None
    reply: "Reply | None" = None
    answers_blocks: bool = False
    served_model_name: str = ""
    deadline_seconds: float | None = None
    arriving: Callable[[int], None] = field(default=allow, repr=False)


class Reply(Protocol):
    """Takes the answer to one call: one document, or a stream of chunks that may break off."""

    def encode(self, document: JsonObject) -> bytes:
        """Return a document, or a chunk of a stream, as it is sent.

        Raises:
            TypeError: It cannot be encoded.
        """

    def pass_on(self, document: bytes) -> bytes:
        """Return a JSON text, which is a document or a chunk of a stream, as it is sent.

        Raises:
            TypeError: It cannot be encoded otherwise, as this reply has to.
            ValueError: It is no JSON, as this reply needs it.
        """

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Send the metadata and an encoded document, which is the whole answer."""

    async def start(self, metadata: Metadata) -> None:
        """Send the metadata of a stream."""

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        """Send encoded chunks of a stream; returns when the transport takes more.

        Args:
            chunks: The chunks, perhaps none.
            ended: Whether they are the last ones.
        """

    async def fail(self, refusal: Refusal) -> None:
        """End a stream that has begun: say why it broke off."""


class NativeReply(NativeCall, Reply, Protocol):
    """Takes the answer to a native request, which it knows."""


class Speaker(Protocol):
    """A reply that may turn out to be one of another API."""

    def speak_responses(self, endpoint: str) -> NativeReply:
        """Return what takes the answer to a query of the Responses API, from now on.

        Args:
            endpoint: Name of the endpoint, which the query need not name.
        """


class Service(Protocol):
    """What a host serves."""

    async def answer(self, call: Call, reply: Reply) -> None:
        """Answer a call.

        Raises:
            Exception: The call is refused; `errors.refusal_of` says how.
        """
