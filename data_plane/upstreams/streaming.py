"""Shapes canonical answers for the caller, whole or chunk by chunk: pure.

Used by `relay.py`. The caller knows the model under the endpoint's name, gets usage in a stream
only when it asked for it, and the role only in the first delta of a choice.
"""

from collections.abc import Callable, Iterator

import orjson

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import (
    JsonObject,
    NestedTooDeeply,
    Task,
    Usage,
    parse_usage,
)
from modelplane.data_plane.usage.characters import answer_characters

DONE = b"data: [DONE]\n\n"
_DONE_LINE = DONE.strip()


def encode_answer(
    provider: str,
    answer: JsonObject,
    model: str,
    encode: Callable[[JsonObject], bytes] = orjson.dumps,
) -> bytes:
    """Return a whole answer, encoded, under the model name that the caller knows.

    Raises:
        MalformedAnswer: The answer cannot be encoded.
    """
    answer["model"] = model
    try:
        return encode(answer)
    except NestedTooDeeply:
        raise MalformedAnswer(provider, "the provider's answer is nested too deeply") from None


def encode_error_line(code: str, message: str) -> bytes:
    """Return the line that ends a stream that failed after it began."""
    return b"data: " + orjson.dumps({"error": {"message": message, "code": code}}) + b"\n\n"


def split_events(lines: bytes) -> Iterator[bytes]:
    """Yield the chunks, as JSON, in lines that `ChunkShaper` made; the end marker is none."""
    for line in lines.split(b"\n\n"):
        if line and line != _DONE_LINE:
            yield line.removeprefix(b"data: ")


class ChunkShaper:
    """Shapes the chunks of one stream.

    Attributes:
        usage: Usage that the stream reported last; later reports replace earlier ones.
        characters: Length of the texts so far, if they are counted.
    """

    __slots__ = (
        "_count_characters",
        "_is_chat",
        "_keep_usage",
        "_model",
        "_provider",
        "_started",
        "characters",
        "usage",
    )

    def __init__(
        self,
        provider: str,
        model: str,
        task: str,
        *,
        keep_usage: bool,
        count_characters: bool = False,
    ) -> None:
        """Start before the first chunk.

        Args:
            provider: Provider that errors name.
            model: Model name that the caller knows.
            task: Task of the endpoint.
            keep_usage: Whether the caller asked for usage.
            count_characters: Whether to count the characters of the texts.
        """
        self.usage: Usage | None = None
        self.characters = 0
        self._count_characters = count_characters
        self._provider = provider
        self._model = model
        self._is_chat = task == Task.CHAT
        self._keep_usage = keep_usage
        self._started: set[object] = set()

    def shape(self, chunk: JsonObject) -> bytes:
        """Return the line for `chunk`; empty when nothing of it is for the caller.

        Raises:
            MalformedAnswer: The chunk cannot be encoded.
        """
        self.usage = parse_usage(chunk) or self.usage
        if self._count_characters:
            self.characters += answer_characters(chunk)
        if not self._keep_usage:
            usage = chunk.pop("usage", None)
            if usage is not None and not chunk.get("choices"):
                return b""
        if self._is_chat:
            self._place_role(chunk)
        return b"data: " + encode_answer(self._provider, chunk, self._model) + b"\n\n"

    def _place_role(self, chunk: JsonObject) -> None:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if not isinstance(delta, dict):
                continue
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            if index in self._started:
                delta.pop("role", None)
            else:
                self._started.add(index)
                delta["role"] = delta.get("role") or "assistant"
