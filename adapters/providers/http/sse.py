"""Incremental parser of server-sent events: bytes in, the data of complete events out.

It follows the event stream format of the HTML standard where providers do, and tolerates a last
event without its blank line. Field names other than `data` carry nothing we need.
"""

import re
from collections.abc import Iterator

from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES

_DATA = b"data: "
_NAME = b"event: "
_END = b"\n\n"
_EVENT_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")


class SseParser:
    """Collects bytes, however they are split, into events.

    Raises:
        ValueError: From `feed`, when an event grows beyond `max_event_bytes`.
    """

    def __init__(self, max_event_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()
        # One buffer: a list would take a place for each line, which no count of bytes tells of.
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the data of each event that `data` completes."""
        if (
            not self._rest
            and not self._data
            and (start := _start_of_one(data, self._max_event_bytes))
        ):
            yield data[start : -len(_END)]
            return
        self._rest += data
        # A long line arrives in many parts: looking at all of it each time would be quadratic.
        complete = b"\n" in data or b"\r" in self._rest[-len(data) - 1 :]
        lines = self._lines() if complete else []
        if len(self._data) + len(self._rest) > self._max_event_bytes:
            raise ValueError("event too large")
        for line in lines:
            if event := self._take(line):
                yield event

    def finish(self) -> Iterator[bytes]:
        """Yield the last event when the body ended without its blank line."""
        line = bytes(self._rest).rstrip(b"\r")
        self._rest.clear()
        for last in (line, b""):
            if event := self._take(last):
                yield event

    def _lines(self) -> list[bytes]:
        """Return the complete lines, and keep the rest."""
        text = bytes(self._rest)
        # A trailing `\r` may be half of `\r\n`, so it waits for the next byte.
        held = text.endswith(b"\r")
        lines = _split(text[:-1] if held else text)
        self._rest = bytearray(lines.pop() + (b"\r" if held else b""))
        return lines

    def _take(self, line: bytes) -> bytes:
        if not line:
            event = bytes(self._data[:-1])
            self._data.clear()
            return event
        if line.startswith(b"data:"):
            self._data += line[6:] if line[5:6] == b" " else line[5:]
            self._data += b"\n"
            if len(self._data) > self._max_event_bytes:
                raise ValueError("event too large")
        return b""


def events_before(data: bytes, event: bytes) -> bytes:
    """Return the bytes of those whole events that come before another one.

    Args:
        data: Bytes that begin with an event.
        event: The data of that other event; empty: it is not known, and so nothing of what comes.
    """
    begun = 0
    for end in _EVENT_END.finditer(data):
        if event in SseParser().feed(data[begun : end.end()]):
            return data[:begun]
        begun = end.end()
    return b""


def _start_of_one(data: bytes, limit: int) -> int:
    """Return where the data begin of bytes that are one event: what most providers send at a time.

    0: they are something else. One may have a name, in a line before.
    """
    end = len(data) - len(_END)
    start = len(_DATA)
    if not data.startswith(_DATA):
        start += data.find(b"\n") + 1
        if not (data.startswith(_NAME) and data.startswith(_DATA, start - len(_DATA))):
            return 0
    is_one = (
        start < end < limit
        and data.find(b"\n", start) == end
        and data.endswith(_END)
        and b"\r" not in data
    )
    return start if is_one else 0


def _split(text: bytes) -> list[bytes]:
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.split(b"\n")
