"""A client of HTTP/2 that does what no library does for its users: streams that never end."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

_BLOCK = bytes(1 << 20)


@dataclass
class Streams:
    """What became of the streams of one HTTP/2 connection.

    Attributes:
        opened: Ids of those that were opened.
        headers: Of those that were answered, by id: all headers and trailers so far.
        ended: Ids of those that have ended.
        reset: Codes of the resets.
        lost: Set when the connection is gone.
    """

    opened: list[int] = field(default_factory=list)
    headers: dict[int, dict[str, str]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    reset: list[int] = field(default_factory=list)
    lost: bool = False

    @property
    def alive(self) -> int:
        """How many streams are open."""
        return 0 if self.lost else len(self.opened) - len(self.ended)

    def statuses(self) -> list[str]:
        """Return the status of each stream that was answered: that of gRPC, or of HTTP."""
        return [
            each.get("grpc-status") or each.get(":status", "") for each in self.headers.values()
        ]


class Http2:
    """An HTTP/2 connection that opens as many streams as it may."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.streams = Streams()
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._state = h2.connection.H2Connection(config)
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Connect, and learn how many streams are allowed."""
        self = cls(*await asyncio.open_connection(host, port, ssl=tls))
        self._state.initiate_connection()
        await self._flush()
        self._reading = asyncio.create_task(self._read())
        await self._changed.wait()
        return self

    @property
    def room(self) -> int:
        """How many streams more the server allows now."""
        allowed = int(self._state.remote_settings.max_concurrent_streams)
        return max(0, allowed - int(self._state.open_outbound_streams))

    async def call(
        self, headers: Sequence[tuple[str, str]], data: bytes = b"", *, ends: bool = True
    ) -> int:
        """Open a stream and send its first data; return its id."""
        number = self._state.get_next_available_stream_id()
        self._state.send_headers(number, headers)
        if data or ends:
            self._state.send_data(number, data, end_stream=ends)
        self.streams.opened.append(number)
        await self._flush()
        return number

    async def pour(self, number: int, size: int) -> int:
        """Send data as far as the server takes it; return how much it took."""
        sent = 0
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while sent < size and not self.streams.lost and number not in self.streams.ended:
                window = self._state.local_flow_control_window(number)
                amount = min(window, size - sent, self._state.max_outbound_frame_size)
                if amount <= 0:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                self._state.send_data(number, _BLOCK[:amount])
                sent += amount
                await self._flush()
        return sent

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 20):
                for event in self._state.receive_data(data):
                    self._take(event)
                await self._flush()
                self._changed.set()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.streams.lost = True
            self._changed.set()

    def _take(self, event: h2.events.Event) -> None:
        streams = self.streams
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            found = {str(name): str(value) for name, value in event.headers or ()}
            streams.headers.setdefault(int(event.stream_id or 0), {}).update(found)
        elif isinstance(event, h2.events.DataReceived):
            self._state.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        elif isinstance(event, h2.events.StreamEnded):
            streams.ended.add(int(event.stream_id or 0))
        elif isinstance(event, h2.events.StreamReset):
            streams.ended.add(int(event.stream_id or 0))
            streams.reset.append(int(event.error_code or 0))

    async def _flush(self) -> None:
        if data := self._state.data_to_send():
            self._writer.write(data)
            await self._writer.drain()
