"""Turns statuses, headers and trailers of answers into bytes; pure. Used by `connection.py`."""

from collections.abc import Iterable, Mapping
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


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return headers or trailers as lines.

    Args:
        fields: Names, which are this program's own, and values, which may repeat what a caller or
            a provider said: no line break of theirs begins another header.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(lines)
    # Counted over all of them at once: a line break inside a value shows as one too many.
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        text = "".join([f"{name}: {value.translate(_BREAKS)}\r\n" for name, value in fields])
    return text.encode("latin-1", "replace")
