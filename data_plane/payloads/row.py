"""One row of a table, and the frame in which files keep it: pure.

Written by `journal.py`, read by `../tables/`. A frame is a header (mark, three lengths, checksum),
what is known of the call, as JSON, the request and the response. What is damaged is passed over, to
the next whole frame. A row that something is still to be known of has room behind it, in which that
is written when it is: an amendment, which is read as part of the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from struct import Struct
from zlib import crc32

import orjson

from modelplane.adapters.providers.types import JsonObject

# Why a body is not there; the first two are those of the mirrored product.
REQUEST_TOO_LARGE = "MAX_REQUEST_SIZE_EXCEEDED"
RESPONSE_TOO_LARGE = "MAX_RESPONSE_SIZE_EXCEEDED"
REQUEST_REDACTED = "REQUEST_REDACTED"
CLIENT_CANCELLED = "CLIENT_CANCELLED"
STREAM_FAILED = "STREAM_FAILED"
DROPPED = "PAYLOAD_DROPPED"

_MARK = b"mpp1"
_HEADER = Struct("<4sIIII")
_NONE = 0xFFFF_FFFF
# An amendment: mark, length and checksum, then facts that take the place of those of the row.
_AMENDED = b"mpa1"
_AMENDMENT = Struct("<4sII")
AMENDMENT_BYTES = 128


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """One row.

    Attributes:
        location: Of its table, as in `PayloadTable`.
        facts: What is known of the call, by column; its times are numbers.
        errors: What is missing, and why.
        request: What was asked, JSON as far as the caller sent it; None: not kept.
        response: What was answered, JSON; None: nothing, or not kept.
        kind: What the table is of, as in `signals.py`; empty: of payloads.
    """

    location: str
    facts: JsonObject = field(repr=False)
    errors: tuple[str, ...] = ()
    request: bytes | None = field(default=None, repr=False)
    response: bytes | None = field(default=None, repr=False)
    kind: str = ""

    def without_bodies(self) -> "PayloadRow":
        """Return the row as it is kept where there is no room for bodies."""
        if self.kind:
            return self
        return replace(self, errors=(*self.errors, DROPPED), request=None, response=None)

    def encode(self) -> bytes:
        """Return its frame."""
        told: list[object] = [self.location, self.errors, self.facts]
        head = orjson.dumps([*told, self.kind] if self.kind else told)
        request, response = self.request or b"", self.response or b""
        lengths = (
            len(head),
            _NONE if self.request is None else len(request),
            _NONE if self.response is None else len(response),
        )
        checksum = _checksum(head, request, response)
        return b"".join((_HEADER.pack(_MARK, *lengths, checksum), head, request, response))


def encode_amendment(facts: JsonObject) -> bytes:
    """Return what is written behind a row once some of its facts are known.

    Args:
        facts: Those that take the place of the row's.

    Raises:
        ValueError: They are longer than the room for them.
    """
    text = orjson.dumps(facts)
    frame = _AMENDMENT.pack(_AMENDED, len(text), crc32(text)) + text
    if len(frame) > AMENDMENT_BYTES:
        raise ValueError("an amendment is too long")
    return frame


def read_rows(data: bytes) -> Iterator[PayloadRow]:
    """Yield the rows whose frames are whole in `data`, in order."""
    at = 0
    while (at := data.find(_MARK, at)) >= 0:
        row, size = _read(data, at)
        if row is not None:
            yield _amend(row, data, at + size)
        # A mark inside of a body is no frame, as the checksum says.
        at += size or 1


def _read(data: bytes, at: int) -> tuple[PayloadRow | None, int]:
    """Return the row whose frame begins at `at`, and the frame's size; None and 0: none does."""
    body = at + _HEADER.size
    if body > len(data):
        return None, 0
    _, of_head, of_request, of_response, checksum = _HEADER.unpack_from(data, at)
    request_at = body + of_head
    response_at = request_at + (0 if of_request == _NONE else of_request)
    end = response_at + (0 if of_response == _NONE else of_response)
    if end > len(data):
        return None, 0
    head = data[body:request_at]
    request, response = data[request_at:response_at], data[response_at:end]
    if checksum != _checksum(head, request, response):
        return None, 0
    location, errors, facts, *kind = orjson.loads(head)
    row = PayloadRow(
        location,
        facts,
        tuple(errors),
        None if of_request == _NONE else request,
        None if of_response == _NONE else response,
        *kind,
    )
    return row, end - at


def _amend(row: PayloadRow, data: bytes, at: int) -> PayloadRow:
    """Return a row with what an amendment at `at` says of it, if there is a whole one."""
    body = at + _AMENDMENT.size
    if data[at : at + len(_AMENDED)] != _AMENDED or body > len(data):
        return row
    _, length, checksum = _AMENDMENT.unpack_from(data, at)
    text = data[body : body + length]
    if crc32(text) != checksum:
        return row
    return replace(row, facts=row.facts | orjson.loads(text))


def _checksum(head: bytes, request: bytes, response: bytes) -> int:
    return crc32(response, crc32(request, crc32(head)))
