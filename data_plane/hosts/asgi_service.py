"""The service as ASGI hosts ask it: when the worker is ready, for as long as the caller is there.

Used by `asgi_host.py` for gRPC calls and by `rest_host.py` for requests of the REST API.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, overload

from modelplane.adapters.rpc.metadata import Metadata
from modelplane.data_plane.errors import WorkerNotReady
from modelplane.data_plane.hosts.asgi_sender import Headers, Receive, Sender
from modelplane.data_plane.hosts.departures import Lookout
from modelplane.data_plane.hosts.host import Call, Reply, Service

_Default = TypeVar("_Default")


class CallerGone(Exception):
    """The caller went away before the request was there."""


async def receive_part(receive: Receive) -> tuple[bytes, bool]:
    """Return the next part of a request's body, and whether more may follow.

    Raises:
        CallerGone: There is nobody to answer.
    """
    event = await receive()
    if event["type"] == "http.disconnect":
        raise CallerGone
    return event.get("body", b""), event.get("more_body", False)


class AsgiService:
    """Answers calls that come over ASGI."""

    def __init__(self, service: Service, ready: Callable[[], bool], lookout: Lookout) -> None:
        """Ask a service.

        Args:
            service: Answers the calls.
            ready: Tells whether it may be asked now.
            lookout: Notices callers who leave.
        """
        self._service = service
        self._ready = ready
        self._lookout = lookout

    async def answer(self, call: Call, reply: Reply, receive: Receive, sender: Sender) -> None:
        """Answer a call.

        Args:
            call: The call.
            reply: Takes the answer.
            receive: Tells when the caller has left.
            sender: Sends what the reply takes.

        Raises:
            WorkerNotReady: It may not be asked now.
            Exception: As the service raises.
        """
        if not self._ready():
            raise WorkerNotReady
        watch = self._lookout.watch(receive, sender)
        try:
            await self._service.answer(call, reply)
        finally:
            self._lookout.forget(watch)


class HeaderMetadata(Mapping[str, str]):
    """Request headers as metadata, decoded when asked for; the last of several values wins."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._headers = dict(headers)

    def __getitem__(self, name: str) -> str:
        """Return the value of a header, whose name is in lower case."""
        return self._headers[name.encode("latin-1")].decode("latin-1")

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str) -> str: ...

    @overload
    def get(self, name: str, /, default: _Default) -> str | _Default: ...

    def get(self, name: str, /, default: object = None) -> object:
        """Return the value of a header; of what most calls lack, without an exception."""
        value = self._headers.get(name.encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._headers)


def encode_headers(metadata: Metadata) -> Headers:
    """Return metadata as headers."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in metadata]
