"""Shapes canonical answers for the caller, whole or chunk by chunk: pure.

Used by `relay.py`. The caller knows the model under the endpoint's name, gets the role only in the
first delta of a choice, and the usage of a stream where it looks for it: in a chunk of its own when
it has asked for that, in none when it wants none, else in the last chunk that has choices.
"""

from collections.abc import Callable, Sequence

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
        "_held",
        "_started",
        "_told",
        "_wanted",
        "characters",
        "usage",
    )

    def __init__(
        self,
        task: str,
        *,
        wanted: bool | None,
        count_characters: bool = False,
    ) -> None:
        """Start before the first chunk.

        Args:
            task: Task of the endpoint.
            wanted: Whether the caller wants the usage; None: nothing is said of it.
            count_characters: Whether to count the characters of the texts.
        """
        self.usage: Usage | None = None
        self.characters = 0
        self._count_characters = count_characters
        self._deltas = spec_of(task).deltas
        self._wanted = wanted
        # The chunk that seems to be the last one with choices, until the usage is told after it.
        self._held: JsonObject | None = None
        self._told: object = None
        self._started: set[object] = set()

    def shape(self, chunk: JsonObject) -> Sequence[JsonObject]:
        """Return what the caller gets now that `chunk` has come, which it takes over."""
        self.note(chunk)
        # Asked here, as hardly any chunk has it.
        if "usage" in chunk and not self._wanted and not self._take_usage(chunk):
            return ()
        if self._deltas:
            self._place_role(chunk)
        if self._wanted is not None or not chunk.get("choices"):
            return (chunk,)
        held, self._held = self._held, chunk if _finishes(chunk) else None
        if held is None:
            return () if self._held else (chunk,)
        return (held,) if self._held else (held, chunk)

    def note(self, chunk: JsonObject) -> None:
        """Note what `chunk` says of the usage, and how long its texts are."""
        if "usage" in chunk:
            self.usage = parse_usage(chunk) or self.usage
        if self._count_characters:
            self.characters += answer_characters(chunk)

    def finish(self) -> Sequence[JsonObject]:
        """Return what is left for the caller when no more chunks come."""
        held, self._held = self._held, None
        if held is None:
            return ()
        if self._told is not None:
            held["usage"] = self._told
        return (held,)

    def _take_usage(self, chunk: JsonObject) -> bool:
        """Take the usage out of a chunk; return whether anything is left for the caller."""
        usage = chunk.pop("usage", None)
        if usage is None:
            return True
        self._told = usage
        return bool(chunk.get("choices"))

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


def _finishes(chunk: JsonObject) -> bool:
    """Tell whether a chunk ends one of the choices, as the last one that has any does."""
    choices = chunk.get("choices")
    # No generator: this is asked of every chunk.
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("finish_reason"):
            return True
    return False
