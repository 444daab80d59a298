"""Whether a server of OpenAI's kind tells the usage of a stream when asked for it: found by asking.

The gateway asks every stream for its usage, by `stream_options`, though the caller may not have.
Servers that do not know the parameter refuse the request, and name it. Then it is put once more
without it; if that is answered, the server is not asked again.
"""

from enum import Enum, auto

from modelplane.adapters.providers.errors import AdapterError, RequestRefused
from modelplane.adapters.providers.types import JsonObject

_NAME = "stream_options"


class _State(Enum):
    UNKNOWN = auto()
    TAKEN = auto()
    # It was refused with the parameter, and is being tried without.
    TRIED_WITHOUT = auto()
    NOT_TAKEN = auto()


class UsageOption:
    """What is known of one server."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = _State.UNKNOWN

    def put(self, body: JsonObject) -> tuple[bool, tuple[str, ...]]:
        """Ask for the usage in the body of a stream's request, if the server takes that.

        Returns:
            Whether it is asked for, and what of the caller's is left out.
        """
        if self._state in (_State.UNKNOWN, _State.TAKEN):
            given = body.get(_NAME)
            options = given if isinstance(given, dict) else {}
            body[_NAME] = {**options, "include_usage": True}
            return True, ()
        left_out = body.pop(_NAME, None)
        return False, (f"{_NAME}=dropped",) if left_out else ()

    def note_refusal(self, error: AdapterError, *, asked: bool) -> bool:
        """Note that a stream was refused; return whether to put it once more.

        Args:
            error: The refusal.
            asked: Whether the usage was asked for.
        """
        if not asked:
            if self._state is _State.TRIED_WITHOUT:
                # It was refused for another reason, and may have repeated the caller's own words.
                self._state = _State.UNKNOWN
            return False
        named = type(error) is RequestRefused and _NAME in str(error.detail)
        if not named or self._state is _State.TAKEN:
            return False
        self._state = _State.TRIED_WITHOUT
        return True

    def note_stream(self) -> None:
        """Note that a stream has begun."""
        if self._state is _State.UNKNOWN:
            self._state = _State.TAKEN
        elif self._state is _State.TRIED_WITHOUT:
            self._state = _State.NOT_TAKEN
