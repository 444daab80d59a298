"""Listens for connections, bounds how many there are and how long they take, and drains.

`connection.py` is one connection. One timer looks after all of them, once a second, and only after
those whose request has not arrived whole; requests that come in one piece cost it nothing.
"""

import asyncio
import os
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from modelplane.data_plane.hosts.http1.connection import Application, Connection
from modelplane.data_plane.hosts.http1.incoming import Incoming

UNIX = "unix:"
_SWEEP_SECONDS = 1.0
_SWEEPS_FOR_IDLE = 60
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections may take.

    Attributes:
        connections: How many there may be.
        request_seconds: Until a request that has begun is there to its end.
        idle_seconds: Without a request; longer than Envoy keeps a connection, which would else send
            a request just when it is closed.
    """

    connections: int = 20_000
    request_seconds: float = 120.0
    idle_seconds: float = 3_700.0


class Listener:
    """The connections of one server; see `incoming.Owner`.

    Attributes:
        tick: Counts seconds.
        draining: Whether each connection closes after its answer.
        port: TCP port; 0 on a Unix socket.
    """

    def __init__(self, application: Application, bounds: Bounds = Bounds()) -> None:
        """Listen nowhere yet.

        Args:
            application: Called for each request.
            bounds: What connections may take.
        """
        self.tick = 0
        self.draining = False
        self.port = 0
        self._application = application
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._connections: set[Incoming] = set()
        # Those whose request has not arrived whole, and the tick at which it must have.
        self._receiving: dict[Incoming, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        # Set when it drains and nothing is under way any longer.
        self._calm = asyncio.Event()
        # Where the socket waits that is to have a path, and that path; None: it has it.
        self._beside: tuple[Path, Path] | None = None

    def opened(self, connection: Incoming) -> bool:
        """Note a new connection; return whether there is room for it."""
        if len(self._connections) >= self._bounds.connections:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Incoming) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._receiving.pop(connection, None)
        if self.draining:
            self._note_calm()

    def await_rest(self, connection: Incoming) -> None:
        """Bound the time until the whole request is there."""
        self._receiving[connection] = self.tick + self._bounds.request_seconds

    def got_rest(self, connection: Incoming) -> None:
        """Note that it is."""
        self._receiving.pop(connection, None)

    @asynccontextmanager
    async def listening(self, address: str, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
        """Take connections; on leaving, take no more and cut those that are left.

        Args:
            address: `unix:PATH`, or `host:port`, where port 0 picks a free one. A path that another
                server may have is taken over by `take_over` only.
            tls: For connections over TCP; None for plaintext.

        Raises:
            OSError: The address cannot be had.
            ValueError: It is none.
        """
        if address.startswith(UNIX):
            self._server = await self._listen_on_path(Path(address.removeprefix(UNIX)))
        else:
            self._server = await self._listen_on_port(address, tls)
        self._sweep()
        try:
            yield
        finally:
            self._stop_listening()
            if self._timer is not None:
                self._timer.cancel()
            for connection in list(self._connections):
                connection.abort()

    def take_over(self) -> None:
        """Have the path, in one step: whoever had it keeps the connections that it has."""
        if self._beside is not None:
            beside, path = self._beside
            self._beside = None
            beside.replace(path)

    async def drain(self, seconds: float) -> None:
        """Take no connection more, close each after its answer, and wait for those.

        Args:
            seconds: How long to wait.
        """
        self.draining = True
        self._stop_listening()
        self.close_idle()
        self._note_calm()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._calm.wait(), seconds)

    def _connection(self) -> Connection:
        return Connection(self._loop, self._application, self)

    async def _listen_on_port(self, address: str, tls: ssl.SSLContext | None) -> asyncio.Server:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal():
            raise ValueError(f"'{address}' is neither host:port nor unix:PATH")
        server = await self._loop.create_server(
            self._connection, host, int(port), ssl=tls, backlog=_BACKLOG
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _listen_on_path(self, path: Path) -> asyncio.Server:
        has_socket = _has_socket(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        server = await self._loop.create_unix_server(self._connection, beside, backlog=_BACKLOG)
        beside.chmod(0o600)
        self._beside = beside, path
        if not has_socket:
            self.take_over()
        return server

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._beside is not None:
            self._beside[0].unlink(missing_ok=True)

    def _note_calm(self) -> None:
        if not any(connection.busy for connection in self._connections):
            self._calm.set()

    def close_idle(self) -> None:
        """Close every connection that has no request under way."""
        for connection in list(self._connections):
            connection.close_if_idle()

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        self.tick += 1
        for connection in [late for late, when in self._receiving.items() if when < self.tick]:
            connection.expire()
        if self.tick % _SWEEPS_FOR_IDLE == 0:
            since = self.tick - self._bounds.idle_seconds
            for connection in [one for one in self._connections if one.idle_since < since]:
                connection.close_if_idle()


def _has_socket(path: Path) -> bool:
    """Tell whether there is a socket, whoever has it.

    Raises:
        FileExistsError: There is something else.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} is there, and is no socket")
    return True
