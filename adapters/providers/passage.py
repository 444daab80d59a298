"""How a native request passes to a provider that speaks its protocol: as it is.

What all passages (`base.py`) share.

Only the model's name, the credential and the address change, and what a service wants elsewhere.
The answer passes as it comes; a parser beside it reads the usage, the end and the errors.
"""

import re
from collections.abc import Mapping

import orjson

from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.types import (
    JsonObject,
    NativeRequest,
    NestedTooDeeply,
)

_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_KEY = b'"model"'
# How a letter of the key begins as an escape: another spelling of it, which no search would find.
_HIDDEN = b"\\u006"


def name_model(provider: str, native: NativeRequest, model: str) -> bytes:
    """Return the bytes of a request, whose `model` is another by then.

    Args:
        provider: Name that errors carry.
        native: The request.
        model: The provider's name for the model.

    Raises:
        RequestRefused: It is nested too deeply.
    """
    raw = native.raw
    found = _MODEL.search(raw) if raw else None
    # The only one is the body's own; where that is not sure, the body is written anew.
    # From the right: that takes a fraction of the time.
    if (
        found
        and raw.rfind(_KEY) == found.start()
        and not (b"\\" in raw and raw.rfind(_HIDDEN) >= 0)
    ):
        start, end = found.span(1)
        return raw[:start] + encode(provider, model) + raw[end:]
    return encode(provider, {**native.body, "model": model})


def encode(provider: str, body: JsonObject | str) -> bytes:
    """Return a body, or a text in it, as JSON.

    Raises:
        RequestRefused: It is nested too deeply.
    """
    try:
        return orjson.dumps(body)
    except NestedTooDeeply:
        raise refusal(provider, "The request is nested too deeply.") from None


def forwarded(native: NativeRequest, names: tuple[str, ...]) -> Mapping[str, str]:
    """Return those headers of a request that its provider is to see."""
    headers = native.headers
    return {name: headers[name] for name in names if name in headers}
