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
        native: The request, which lets its bytes go where its body has the same.
        model: The provider's name for the model.

    Raises:
        RequestRefused: It is nested too deeply.
    """
    written = encode(provider, {**native.body, "model": model})
    raw = native.raw
    if not raw:
        return written
    longer = len(orjson.dumps(model)) - len(orjson.dumps(native.body.get("model")))
    if len(written) == len(raw) + longer:
        # Nearly all clients write JSON in this one way. Then it need not be kept twice, and to
        # write it anew is faster than to search it for the model.
        native.raw = b""
        return written
    found = _MODEL.search(raw)
    # The only one is the body's own; where that is not sure, the body is written anew.
    # From the right: that takes a fraction of the time.
    if (
        found
        and raw.rfind(_KEY) == found.start()
        and not (b"\\" in raw and raw.rfind(_HIDDEN) >= 0)
    ):
        start, end = found.span(1)
        return raw[:start] + encode(provider, model) + raw[end:]
    return written


def encode(provider: str, body: JsonObject | str) -> bytes:
    """Return a body, or a text in it, as JSON.

    Raises:
        RequestRefused: It is nested too deeply.
    """
    try:
        return orjson.dumps(body)
    except NestedTooDeeply:
        raise refusal(provider, "The request is nested too deeply.") from None


def with_forwarded(
    headers: Mapping[str, str], native: NativeRequest, names: tuple[str, ...]
) -> Mapping[str, str]:
    """Return headers with those of a request that its provider is to see, in their place."""
    sent = native.headers
    for name in names:
        if name in sent:
            return {**headers, **{one: sent[one] for one in names if one in sent}}
    return headers
