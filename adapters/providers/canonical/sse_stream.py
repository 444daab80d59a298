"""What parsers of answers streamed as server-sent events share, whatever the provider.

`http/sse.py` frames the events; each subclass reads what they say.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.types import JsonObject, Usage


class SseStreamParser(ABC):
    """Parses one streamed answer; see `StreamParser`. Subclasses set `ended` and `usage`."""

    def __init__(self, provider: str) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
        """
        self.ended = False
        self.usage: Usage | None = None
        self._provider = provider
        self._sse = SseParser()

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        try:
            for event in self._sse.feed(data):
                yield from self._read(event)
        except AdapterError as error:
            error.event = event
            raise
        except ValueError as error:
            raise MalformedAnswer(self._provider, str(error)) from error

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        for event in self._sse.finish():
            yield from self._read(event)
        if not self.ended:
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")

    @abstractmethod
    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives, for a provider that frames them in another way.

        Raises:
            AdapterError: The event reports an error, or has no place here.
        """

    def _read(self, data: bytes) -> Iterator[JsonObject]:
        if not self.ended:
            yield from self.take(parse_json_object(self._provider, data))
