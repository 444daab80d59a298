"""Puts the calls of a stream one behind the other; pure.

Chunks may bring the arguments of several calls by turns. Protocols whose streams have one thing
open at a time cannot say that, so a call is held back until the one before it is whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_text
from modelplane.adapters.providers.types import JsonObject


@dataclass(slots=True)
class HeldCall:
    """A call, as far as it has come.

    Attributes:
        index: Its place, as the provider tells it.
        id: Its identifier; empty: the provider has given none.
        name: Name of the function.
        held: Pieces of its arguments that were not handed out yet.
        told: Those that were.
        begun: Whether it was handed out at all.
    """

    index: object
    id: str = ""
    name: str = ""
    held: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    begun: bool = False

    @property
    def arguments(self) -> str:
        """All that has come of the arguments."""
        return "".join((*self.told, *self.held))

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are JSON by now, so that nothing more can come."""
        try:
            orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            return False
        return True

    def take(self) -> list[str]:
        """Hand out what is held."""
        held, self.held, self.begun = self.held, [], True
        self.told += held
        return held


class HeldCalls:
    """The calls of one answer."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[HeldCall] = []

    def add(self, delta: JsonObject) -> Iterator[HeldCall]:
        """Add one of a chunk's `tool_calls`; yield the calls of which there is more to hand out."""
        call = self._find(delta.get("index"))
        function = as_object(delta.get("function"))
        call.id = call.id or as_text(delta.get("id"))
        call.name = call.name or as_text(function.get("name"))
        if arguments := as_text(function.get("arguments")):
            call.held.append(arguments)
        for place, known in enumerate(self._calls):
            if not known.name:
                return
            if known.held or not known.begun:
                yield known
            if place < len(self._calls) - 1 and not known.is_whole:
                return

    def finish(self) -> Iterator[HeldCall]:
        """Yield the calls of which something is held, now that nothing more comes."""
        for call in self._calls:
            if call.held or not call.begun:
                yield call

    def _find(self, index: object) -> HeldCall:
        # From the end: nearly always it is the last one.
        for call in reversed(self._calls):
            if call.index == index:
                return call
        call = HeldCall(index)
        self._calls.append(call)
        return call
