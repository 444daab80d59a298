"""Captures one call of an endpoint with a table: what was asked, and what is answered.

Before: `log.py`, which makes it. A `CapturingReply` stands between the service and the reply and
lets everything pass. What goes wrong here costs the row its response, never the call.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.calls.call import Call, Reply
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.guardrails.verdict import Action
from modelplane.data_plane.payloads.journal import Place
from modelplane.data_plane.payloads.merging import ChunkMerger
from modelplane.data_plane.payloads.native_merging import EventMerger
from modelplane.data_plane.payloads.row import (
    CLIENT_CANCELLED,
    REQUEST_REDACTED,
    REQUEST_TOO_LARGE,
    RESPONSE_TOO_LARGE,
    STREAM_FAILED,
)

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes what was captured."""

    def write(self, capture: "Capture", response: bytes | None) -> "Place | None":
        """Write a row; return where, if it is to be amended. Never fails."""


class Capture:
    """What is captured of one call.

    Attributes:
        record: The call's.
        request: What was asked; None: not kept.
        errors: Why something is not kept.
        under_way: Number of attempts that have not ended when the row is written.
        place: Where the row is, if it is written and to be amended.
    """

    def __init__(
        self,
        sink: Sink,
        record: Record,
        call: Call,
        request: bytes | None,
        max_bytes: int,
        *,
        is_sampled: bool = True,
        redacts: bool = False,
    ) -> None:
        """Begin when it is known that there is a table.

        Args:
            sink: Takes the row.
            record: The call's.
            call: The call.
            request: What was asked; None: it is not here, or not read.
            max_bytes: Longest request, and longest response, that is kept.
            is_sampled: Whether the call is recorded if it does not fail.
            redacts: Whether the request is kept only once it is known what of it may be.
        """
        self._is_sampled = is_sampled
        self._redacts = redacts
        self.record = record
        self.errors: list[str] = []
        self.under_way = 0
        self.place: Place | None = None
        self._sink = sink
        self._native = call.native
        self._max_bytes = max_bytes
        self._whole: bytes | None = None
        self._merger: ChunkMerger | EventMerger | None = None
        # Chunks that are not sent yet: those of an attempt that failed never are.
        self._pending: list[tuple[object, bytes]] = []
        self._begun = False
        # Whether nothing more is kept: it is too large, or could not be read.
        self._full = not is_sampled
        self._written = False
        self.request = self._bounded(request)

    def redact(self, body: JsonObject, *, changed: bool) -> None:
        """Keep a request as guardrails let it pass; without this, one that is redacted is not.

        Args:
            body: The request in canonical form.
            changed: Whether they have changed it.
        """
        self._redacts = False
        if changed and self.request is not None:
            self.request = self._bounded(self._dump(body))

    def reply(self, reply: Reply) -> "CapturingReply":
        """Return a reply that lets pass what is captured."""
        return CapturingReply(reply, self)

    def note_document(self, document: JsonObject, encoded: bytes) -> None:
        """Note a canonical answer, or a chunk of one, and what it is sent as."""
        if self.record.stream:
            self._note_chunk(document, b"")
        elif not self._full:
            # Messages of gRPC begin otherwise; of those the answer is kept as JSON, too.
            is_json = encoded[:1] == b"{"
            self._whole = encoded if is_json else self._dump(document)

    def note_text(self, document: bytes) -> None:
        """Note a canonical answer, or a chunk of one, that is JSON."""
        if self.record.stream:
            self._try(lambda: self._note_chunk(orjson.loads(document), document))
        else:
            self._whole = document

    def note_events(self, chunks: Sequence[bytes]) -> None:
        """Note what is sent of a stream; what was noted as chunks is known already."""
        if not self._begun and chunks:
            self._begun = True
            # All that comes before the first is sent is sent with it.
            sent, self._pending = self._pending[-len(chunks) :], []
            for document, encoded in sent:
                self._merge(document, encoded)
        if self._native is None or isinstance(self._merger, ChunkMerger) or self._full:
            return
        if self._merger is None:
            self._merger = EventMerger(self._native.protocol)
        merger = self._merger
        self._try(lambda: merger.feed(b"".join(chunks)))
        self._bound()

    def answer(self, document: bytes) -> None:
        """Write the row of a call that is answered as a whole."""
        self.under_way = 1
        if not (self._is_sampled or self._is_blocked()):
            self._written = True
        is_own = self._native is not None or self._whole is None
        self._write(document if is_own else self._whole)

    def end(self) -> None:
        """Write the row of a stream that has come to its end."""
        self.under_way = 1
        if not (self._is_sampled or self._is_blocked()):
            self._written = True
        self._write(self._merged())

    def fail(self, refusal: Refusal) -> None:
        """Write the row of a stream that breaks off."""
        self.under_way = 1
        self.errors.append(STREAM_FAILED)
        self._write(self._merged(refusal.error()))

    def cancel(self) -> None:
        """Write the row of a call whose caller is gone, unless it is written."""
        if not self._written:
            self.errors.append(CLIENT_CANCELLED)
            self._write(self._merged())

    def refuse(self, refusal: Refusal) -> None:
        """Write the row of a call that is refused, unless it is written.

        Whatever the protocol of the call, it has the form of the REST API.
        """
        text = {
            "error": refusal.error(),
            "error_code": refusal.status.error_code,
            "message": shorten(refusal.message),
        }
        self._write(orjson.dumps(text))

    def _bounded(self, request: bytes | None) -> bytes | None:
        if request is None or len(request) <= self._max_bytes:
            return request
        self.errors.append(REQUEST_TOO_LARGE)
        return None

    def _is_blocked(self) -> bool:
        """Tell whether guardrails block the call, which may be answered all the same."""
        guard = self.record.guard
        return guard is not None and guard.verdict().action is Action.BLOCKED

    def _note_chunk(self, chunk: object, encoded: bytes) -> None:
        if self._begun:
            self._merge(chunk, encoded)
        else:
            self._pending.append((chunk, encoded))

    def _merge(self, chunk: object, encoded: bytes) -> None:
        if self._full:
            return
        if not isinstance(self._merger, ChunkMerger):
            self._merger = ChunkMerger()
        merger = self._merger
        self._try(lambda: merger.add(chunk, encoded))
        self._bound()

    def _bound(self) -> None:
        """Keep no more of an answer that is too large."""
        if self._merger is not None and self._merger.size > self._max_bytes:
            self._give_up(RESPONSE_TOO_LARGE)

    def _give_up(self, error: str) -> None:
        self._full, self._merger = True, None
        self.errors.append(error)

    def _merged(self, error: JsonObject | None = None) -> bytes | None:
        """Return what has come of a stream, in one piece, and why it ended before its end."""
        merger = self._merger
        if merger is None:
            return None if error is None else self._dump({"error": error})
        value: list[object] = []
        self._try(lambda: value.append(self._whole_of(merger)))
        merged = value[0] if value else None
        if error is not None:
            if isinstance(merged, list):
                merged.append({"error": error})
            else:
                merged = (merged if isinstance(merged, dict) else {}) | {"error": error}
        if merged is None:
            return None
        return merged if isinstance(merged, bytes) else self._dump(merged)

    def _whole_of(self, merger: ChunkMerger | EventMerger) -> object:
        """Return what has been merged; of a translated stream, in its protocol's form."""
        merged = merger.finish()
        native = self._native
        if native is None or isinstance(merger, EventMerger) or not isinstance(merged, dict):
            return merged
        return orjson.loads(native.whole(merged))

    def _dump(self, value: object) -> bytes | None:
        try:
            return orjson.dumps(value)
        except TypeError:
            # It is nested too deeply.
            self._give_up(RESPONSE_TOO_LARGE)
            return None

    def _try(self, step: Callable[[], object]) -> None:
        """Take a step that may fail on whatever a provider has sent."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a row may lose its response, a call may not
            fields = log_fields(request_id=self.record.request_id, error=type(error).__name__)
            _log.warning("a response is not recorded", extra=fields)
            self._give_up(STREAM_FAILED)

    def _write(self, response: bytes | None) -> None:
        if self._written:
            return
        self._written = True
        if self._redacts and self.request is not None:
            self.request = None
            self.errors.append(REQUEST_REDACTED)
        if response is not None and len(response) > self._max_bytes:
            self.errors.append(RESPONSE_TOO_LARGE)
            response = None
        self.place = self._sink.write(self, response)
        # Who waits for a verdict holds this, and need not hold bodies.
        self.request = self._whole = self._merger = None
        self._pending = []


class CapturingReply:
    """Lets everything pass to a reply, and notes it; see `call.Reply`.

    The row is written before the last byte is sent: what a caller has seen the end of has its row,
    whatever becomes of the process.
    """

    __slots__ = ("_capture", "_reply")

    def __init__(self, reply: Reply, capture: Capture) -> None:
        self._reply = reply
        self._capture = capture

    def encode(self, document: JsonObject) -> bytes:
        """Return a document, or a chunk, as it is sent."""
        encoded = self._reply.encode(document)
        self._capture.note_document(document, encoded)
        return encoded

    def pass_on(self, document: bytes) -> bytes:
        """Return a JSON text as it is sent."""
        encoded = self._reply.pass_on(document)
        self._capture.note_text(document)
        return encoded

    def answer(self, metadata: Metadata, document: bytes) -> Coroutine[Any, Any, None]:
        """Send the whole answer."""
        self._capture.answer(document)
        return self._reply.answer(metadata, document)

    def start(self, metadata: Metadata) -> Coroutine[Any, Any, None]:
        """Send the metadata of a stream."""
        return self._reply.start(metadata)

    def send(self, chunks: Sequence[bytes], *, ended: bool) -> Coroutine[Any, Any, None]:
        """Send chunks."""
        self._capture.note_events(chunks)
        if ended:
            self._capture.end()
        return self._reply.send(chunks, ended=ended)

    def fail(self, refusal: Refusal) -> Coroutine[Any, Any, None]:
        """End a stream that breaks off."""
        self._capture.fail(refusal)
        return self._reply.fail(refusal)
