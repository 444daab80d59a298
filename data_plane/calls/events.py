"""The lines of a stream of server-sent events, as the REST API answers with it: pure."""

from collections.abc import Iterator

import orjson

DONE = b"data: [DONE]\n\n"
_DONE_LINE = DONE.strip()


def encode_error_line(code: str, message: str) -> bytes:
    """Return the line that ends a stream that failed after it began."""
    return b"data: " + orjson.dumps({"error": {"message": message, "code": code}}) + b"\n\n"


def split_events(lines: bytes) -> Iterator[bytes]:
    """Yield the chunks, as JSON, in lines that `ChunkShaper` made; the end marker is none."""
    for line in lines.split(b"\n\n"):
        if line and line != _DONE_LINE:
            yield line.removeprefix(b"data: ")
