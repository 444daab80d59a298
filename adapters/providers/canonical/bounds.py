"""Bounds on what a parser remembers of one streamed answer, however long the provider sends.

A chunk goes on to the caller and is forgotten; what is remembered, such as which choices are open,
must not grow with the stream.
"""

from io import StringIO

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES

# The most that OpenAI's parameter `n` may ask for.
MAX_CHOICES = 128
# Tool calls of one choice.
MAX_CALLS = 1024


def check_count(provider: str, count: int, limit: int, what: str) -> None:
    """Refuse an answer of which there would be too much to remember.

    Args:
        provider: Name that errors carry.
        count: How many there are.
        limit: How many there may be.
        what: What is counted, in the plural.

    Raises:
        MalformedAnswer: There are more.
    """
    if count > limit:
        raise MalformedAnswer(provider, f"the provider's answer has more than {limit} {what}")


class GrowingText:
    """A text that is remembered while it grows: to add to a `str` would copy it for each piece."""

    __slots__ = ("_provider", "_text", "length")

    def __init__(self, provider: str) -> None:
        """Start empty.

        Args:
            provider: Name that errors carry.
        """
        self.length = 0
        self._provider = provider
        self._text = StringIO()

    def add(self, text: str) -> None:
        """Add a piece.

        Raises:
            MalformedAnswer: It would grow beyond what a whole answer may have.
        """
        self.length += len(text)
        if self.length > MAX_BODY_BYTES:
            raise MalformedAnswer(self._provider, "the provider's answer is too large")
        self._text.write(text)

    def take(self) -> str:
        """Return all of it, and start anew."""
        text = self._text.getvalue()
        self._text = StringIO()
        self.length = 0
        return text
