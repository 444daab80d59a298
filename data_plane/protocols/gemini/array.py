"""Frames a stream of the Gemini API as its plain form: one JSON array that grows; pure.

That is what a client gets that does not ask for events with `alt=sse`, as curl does in most guides.
The stream itself may be a codec's or a provider's own: either is events, cut at any byte.
"""

from collections.abc import Iterable

from modelplane.adapters.providers.http.sse import SseParser


class JsonArray:
    """One array, each member of which is the data of an event."""

    content_type = "application/json; charset=utf-8"

    def __init__(self) -> None:
        self._events = SseParser()
        self._begun = False

    def add(self, events: bytes) -> bytes:
        """Return what follows in the array for bytes of the stream, perhaps nothing.

        Raises:
            ValueError: An event is too large.
        """
        return self._join(self._events.feed(events))

    def finish(self) -> bytes:
        """Return the rest of the array."""
        rest = self._join(self._events.finish())
        return rest + (b"]" if self._begun else b"[]")

    def _join(self, events: Iterable[bytes]) -> bytes:
        return b"".join((b",\r\n" if self._follows() else b"[") + event for event in events)

    def _follows(self) -> bool:
        begun, self._begun = self._begun, True
        return begun
