"""Streams of Bedrock: binary frames with checksums, each one event, exception or error.

Format: AWS's event stream encoding (`application/vnd.amazon.eventstream`). Two readers feed on it:
Converse's events are named by a header, InvokeModel's carry the model's own JSON in base64.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from modelplane.adapters.providers.amazon_bedrock.errors import build_reported_error
from modelplane.adapters.providers.canonical.json_values import as_text, parse_json_object
from modelplane.adapters.providers.errors import MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.providers.types import JsonObject, Usage

# A frame begins with its length, and has at least that, its headers' length and two checksums.
_LENGTH_BYTES = 4
_MIN_FRAME_BYTES = 16


class EventReader(Protocol):
    """Reads a model's own events inside the frames; the properties are those of `StreamParser`."""

    @property
    def ended(self) -> bool:
        """Whether the last event has been read."""

    @property
    def usage(self) -> Usage | None:
        """What the model has counted so far."""

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives."""


class EventStreamParser(ABC):
    """Parses one streamed answer; see `StreamParser`. Subclasses read the events."""

    def __init__(self, provider: str) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
        """
        self.ended = False
        self.usage: Usage | None = None
        self._provider = provider
        self._rest = bytearray()
        self._frames = EventStreamBuffer()

    @abstractmethod
    def take(self, kind: str, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; set `usage`, and `ended` at the last one.

        Args:
            kind: Type of the event.
            event: Its JSON object.
        """

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        self._rest += data
        while not self.ended:
            try:
                frame = self._next()
            except (ParserError, ValueError, KeyError) as error:
                raise MalformedAnswer(self._provider, "the stream's framing is broken") from error
            if frame is None:
                return
            yield from self._read(frame)

    def finish(self) -> Iterator[JsonObject]:
        """Refuse a stream that is not at its end; see `StreamParser`."""
        if not self.ended:
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")
        yield from ()

    def _next(self) -> EventStreamMessage | None:
        """Return the next frame that is whole; None: there is none yet.

        Raises:
            ValueError: It is too large, or broken.
        """
        if len(self._rest) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._rest[:_LENGTH_BYTES])
        if not _MIN_FRAME_BYTES <= length <= MAX_BODY_BYTES:
            raise ValueError("no frame has this length")
        if len(self._rest) < length:
            return None
        # By the frame: the library copies all that it holds for each part that it is given.
        self._frames.add_data(bytes(self._rest[:length]))
        del self._rest[:length]
        return next(self._frames, None)

    def _read(self, frame: EventStreamMessage) -> Iterator[JsonObject]:
        headers = {name: str(value) for name, value in frame.headers.items()}
        kind = headers.get(":message-type")
        if kind == "exception":
            name = headers.get(":exception-type", "")
            raise build_reported_error(self._provider, name, frame.payload)
        if kind == "error":
            name, text = headers.get(":error-code", ""), headers.get(":error-message", "")
            raise build_reported_error(self._provider, name, text.encode())
        if kind == "event":
            event = parse_json_object(self._provider, frame.payload)
            yield from self.take(headers.get(":event-type", ""), event)


def read_model_event(provider: str, event: JsonObject) -> JsonObject:
    """Return the model's own event inside an event of type `chunk`.

    Raises:
        MalformedAnswer: There is none.
    """
    try:
        data = base64.b64decode(as_text(event.get("bytes")), validate=True)
    except ValueError as error:
        raise MalformedAnswer(provider, "a stream's event cannot be decoded") from error
    return parse_json_object(provider, data)
