"""Frames of AWS's event stream encoding, written by its description; botocore only reads them."""

import base64
import json
import struct
import zlib

from tests.emulators.emulator import Json

_STRING = 7


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one frame: prelude, its checksum, headers, payload, checksum of it all."""
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    total = 12 + len(encoded) + len(payload) + 4
    prelude = struct.pack(">II", total, len(encoded))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + encoded + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(kind: str, body: Json) -> bytes:
    """Return an event with a JSON body."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, json.dumps(body, separators=(",", ":")).encode())


def chunk(body: Json) -> bytes:
    """Return an event that carries a model's own JSON; `p` pads it, as at the real service."""
    data = base64.b64encode(json.dumps(body).encode()).decode()
    return event("chunk", {"bytes": data, "p": "abcdefghijk"})


def exception(kind: str, body: Json) -> bytes:
    """Return an exception; its type begins with a small letter there."""
    headers = {
        ":exception-type": kind[:1].lower() + kind[1:],
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, json.dumps(body).encode())


def error(code: str, message: str) -> bytes:
    """Return an error that AWS's front door reports, whose body is empty."""
    headers = {":error-code": code, ":error-message": message, ":message-type": "error"}
    return frame(headers, b"")


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return (
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(text)) + text
    )
