"""From the bytes of a body to JSON, as strictly as the real API; `server` uses it."""

import json


def parse_body(raw: bytes) -> object:
    """Return the JSON value; None for what is no JSON in UTF-8."""
    try:
        body: object = json.loads(raw.decode(), parse_constant=_refuse_constant)
        # A lone surrogate, written as an escape, is no text.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
