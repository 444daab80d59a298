"""Turns statuses, headers and trailers of answers into bytes; pure. Used by `connection.py`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

_STATUS_LINES: Mapping[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# What would end a line, and with it the header.
_BREAKS = str.maketrans("", "", "\r\n\0")


def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    known = _STATUS_LINES.get(status)
    # The reason is not for machines, and what providers answer with need not have one.
    return b"HTTP/1.1 %d \r\n" % status if known is None else known


def encode_fields(fields: Sequence[tuple[str, str]]) -> bytes:
    """Return headers or trailers as lines.

    Args:
        fields: Names, which are this program's own, and values, which may repeat what a caller or
            a provider said: no line break of theirs begins another header.
    """
    text = "\r\n".join(map(": ".join, fields))
    # Counted over all of them at once: a line break inside a value shows as one too many.
    breaks = len(fields) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        text = "\r\n".join([f"{name}: {value.translate(_BREAKS)}" for name, value in fields])
    return f"{text}\r\n".encode("latin-1", "replace") if fields else b""
