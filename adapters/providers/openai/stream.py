"""Reads OpenAI's streams: the chunks are canonical, and an error may be one of them.

Used by `provider.py`, and by every provider whose wire is OpenAI's.
"""

from collections.abc import Callable, Iterator

from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES, check_count
from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.types import JsonObject, Usage

_DONE = b"[DONE]"


class OpenAiStreamParser:
    """Parses one streamed chat or completion."""

    __slots__ = (
        "_begun",
        "_open_choices",
        "_provider",
        "_reported",
        "_seen_choice",
        "_sse",
        "ended",
        "usage",
    )

    def __init__(
        self,
        provider: str,
        reported: Callable[[JsonObject], AdapterError],
        begun: Callable[[], None],
    ) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            reported: Returns the error that a chunk reports.
            begun: Called when the answer has begun.
        """
        self.ended = False
        # The chunks say it.
        self.usage: Usage | None = None
        self._provider = provider
        self._reported = reported
        self._begun = begun
        self._sse = SseParser()
        self._open_choices: set[object] = set()
        self._seen_choice = False

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        try:
            for event in self._sse.feed(data):
                if chunk := self._chunk(event):
                    yield chunk
        except ValueError as error:
            raise MalformedAnswer(self._provider, str(error)) from error

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        for event in self._sse.finish():
            if chunk := self._chunk(event):
                yield chunk
        complete = self._seen_choice and not self._open_choices
        if not self.ended and not complete:
            raise StreamTruncated(
                self._provider,
                "the stream ended before the answer was complete",
            )

    def _chunk(self, event: bytes) -> JsonObject | None:
        if self.ended:
            return None
        if event == _DONE:
            self.ended = True
            return None
        chunk = parse_json_object(self._provider, event)
        # Asked here, as hardly any chunk has one.
        if ("error" in chunk or "error_code" in chunk) and reports_error(chunk):
            raise self._reported(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            # Of a chunk, only the usage may come by itself; what else there is may be anything.
            return chunk if isinstance(chunk.get("usage"), dict) else None
        for choice in choices:
            self._note(choice)
        return chunk

    def _note(self, choice: object) -> None:
        if not isinstance(choice, dict):
            return
        if not self._seen_choice:
            self._seen_choice = True
            self._begun()
        index = choice.get("index", 0)
        if not isinstance(index, int):
            return
        if choice.get("finish_reason"):
            self._open_choices.discard(index)
        elif index not in self._open_choices:
            self._open_choices.add(index)
            check_count(self._provider, len(self._open_choices), MAX_CHOICES, "choices")


def reports_error(answer: JsonObject) -> bool:
    """Return whether it reports an error: OpenAI's, or a Databricks-style endpoint's."""
    return bool(answer.get("error") or answer.get("error_code"))
