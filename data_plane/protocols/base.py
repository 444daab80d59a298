"""What a codec of a native protocol is: pure translation between its form and the canonical one.

A protocol reads a request; what it returns has the canonical body and a writer for the one answer.
Answers of every provider are canonical by then (`adapters/providers/base.py`), so any protocol goes
with any provider.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol as Interface

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.errors import InvalidParameter, Refusal


class AnswerWriter(Interface):
    """Writes one answer in its protocol's form."""

    def whole(self, answer: JsonObject) -> bytes:
        """Return a whole canonical answer as a document."""

    def chunk(self, chunk: JsonObject) -> bytes:
        """Return a canonical chunk as events, perhaps none."""

    def finish(self) -> bytes:
        """Return the events that end a stream."""

    def fail(self, refusal: Refusal) -> bytes:
        """Return the events that end a stream which broke off."""


class Framing(Interface):
    """Puts a stream of events into another form.

    Attributes:
        content_type: What the answer is then.
    """

    content_type: str

    def add(self, events: bytes) -> bytes:
        """Return what is sent for bytes of the stream, perhaps nothing."""

    def finish(self) -> bytes:
        """Return what ends the answer."""


@dataclass(slots=True)
class NativeQuery:
    """A request in canonical form.

    Attributes:
        body: The canonical body; its `model` names the endpoint.
        writer: Writes the answer.
        adapted: What could not be taken over as it is, as in `Plan`.
    """

    body: JsonObject = field(repr=False)
    writer: AnswerWriter
    adapted: tuple[str, ...] = ()


class Protocol(ABC):
    """One protocol.

    Attributes:
        name: Its name in routes, metrics and usage.
    """

    name: str

    @abstractmethod
    def read(self, body: JsonObject) -> NativeQuery:
        """Return a request in canonical form.

        Args:
            body: The request's body, which is taken over.

        Raises:
            InvalidParameter: It is none, or asks for what the canonical form cannot express.
        """

    def streams(self, body: JsonObject) -> bool:
        """Tell whether a request asks for a stream."""
        return body.get("stream") is True

    @abstractmethod
    def fail(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream of the provider's own which broke off."""

    def framing(self) -> Framing | None:
        """Return what one streamed answer passes at last; None: its events are sent as they are."""
        return None

    @abstractmethod
    def models(self, models: Sequence[JsonObject], parameters: Mapping[str, str]) -> JsonObject:
        """Return a list of models in the protocol's form.

        Args:
            models: All of them, by id, as OpenAI's API has them, and the `task` of each.
            parameters: Which of them the client asks for.

        Raises:
            InvalidParameter: A parameter is none.
        """

    @abstractmethod
    def model(self, model: JsonObject) -> JsonObject:
        """Return one model, given so, in the protocol's form."""

    def count(self, document: JsonObject) -> JsonObject:
        """Return how many `input_tokens` a query has, given so, in the protocol's form."""
        return document

    def headers(
        self, request_id: str, metadata: Metadata, wall_ms: Callable[[], float]
    ) -> Metadata:
        """Return the headers that the protocol's clients look for, beside those of all answers.

        Args:
            request_id: Identifies the request.
            metadata: Those of all answers.
            wall_ms: Wall time, milliseconds since the epoch.
        """
        del request_id, metadata, wall_ms
        return ()

    @abstractmethod
    def error(self, refusal: Refusal, request_id: str) -> JsonObject:
        """Return the body that says why there is no answer, in the protocol's form."""


class Losses:
    """What of a request is not taken over as it is; each is told once."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        """Note one, such as `top_k=dropped`."""
        self._notes[text] = None

    def notes(self) -> tuple[str, ...]:
        """Return all of them, in the order in which they came up."""
        return tuple(self._notes)


def encode(value: object) -> bytes:
    """Return a value as JSON.

    Raises:
        InvalidParameter: It is nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except NestedTooDeeply:
        raise InvalidParameter("The request is nested too deeply.") from None
