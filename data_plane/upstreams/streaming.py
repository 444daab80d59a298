"""Shapes canonical answers for the caller, whole or chunk by chunk: pure.

Used by `relay.py`. The caller knows the model under the endpoint's name, gets usage in a stream
only when it asked for it, and the role only in the first delta of a choice.
"""

from collections.abc import Callable

from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import (
    JsonObject,
    NestedTooDeeply,
    Usage,
    parse_usage,
)
from modelplane.data_plane.calls.characters import answer_characters
from modelplane.data_plane.calls.tasks import spec_of


def encode_answer(
    provider: str, model: str, encode: Callable[[JsonObject], bytes], answer: JsonObject
) -> bytes:
    """Return an answer or a chunk, encoded, under the model name that the caller knows.

    Args:
        provider: Provider that errors name.
        model: The name.
        encode: Encodes it; may raise `TypeError`.
        answer: The answer, which gets the name.

    Raises:
        MalformedAnswer: The answer cannot be encoded.
    """
    answer["model"] = model
    try:
        return encode(answer)
    except NestedTooDeeply:
        raise MalformedAnswer(provider, "the provider's answer is nested too deeply") from None


class ChunkShaper:
    """Shapes the chunks of one stream.

    Attributes:
        usage: Usage that the stream reported last; later reports replace earlier ones.
        characters: Length of the texts so far, if they are counted.
    """

    __slots__ = (
        "_count_characters",
        "_deltas",
        "_keep_usage",
        "_started",
        "characters",
        "usage",
    )

    def __init__(
        self,
        task: str,
        *,
        keep_usage: bool,
        count_characters: bool = False,
    ) -> None:
        """Start before the first chunk.

        Args:
            task: Task of the endpoint.
            keep_usage: Whether the caller asked for usage.
            count_characters: Whether to count the characters of the texts.
        """
        self.usage: Usage | None = None
        self.characters = 0
        self._count_characters = count_characters
        self._deltas = spec_of(task).deltas
        self._keep_usage = keep_usage
        self._started: set[object] = set()

    def shape(self, chunk: JsonObject) -> bool:
        """Make of `chunk` what the caller gets; return False where nothing of it is for them."""
        self.usage = parse_usage(chunk) or self.usage
        if self._count_characters:
            self.characters += answer_characters(chunk)
        if not self._keep_usage:
            usage = chunk.pop("usage", None)
            if usage is not None and not chunk.get("choices"):
                return False
        if self._deltas:
            self._place_role(chunk)
        return True

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
            elif len(self._started) < MAX_CHOICES:
                self._started.add(index)
                delta["role"] = delta.get("role") or "assistant"
