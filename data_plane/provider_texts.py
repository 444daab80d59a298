"""What a caller is told of a provider's error: who said it, and what.

Used by `errors.py`.
"""

import orjson

from modelplane.adapters.providers import errors as provider_errors
from modelplane.adapters.providers.canonical.error_texts import read_error
from modelplane.adapters.providers.types import NestedTooDeeply
from modelplane.adapters.shared.rpc.status import shorten

_DETAIL_CHARACTERS = 4000


def provider_message(error: provider_errors.AdapterError) -> str:
    """Return the JSON text that names the provider and repeats what it said.

    A refused credential, which is no matter of the caller's, is told as text. What a provider said
    is cut, as text, when it would not fit whole into the answer's headers.
    """
    if isinstance(error, provider_errors.CredentialRefused):
        return (
            f"Provider '{error.provider}' refused the credential of this endpoint, not yours; ask "
            f"who manages the endpoint to replace it. The provider says: {read_error(error.detail)}"
        )
    message = _envelope(error.provider, error.detail)
    size = _DETAIL_CHARACTERS
    while shorten(message) != message:
        detail = error.detail if isinstance(error.detail, str) else _text(error.detail)
        message = _envelope(error.provider, detail[:size] + "…")
        size //= 2
    return message


def _envelope(provider: str, detail: object) -> str:
    return _text({"external_model_provider": provider, "external_model_error": detail})


def _text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except NestedTooDeeply:
        return orjson.dumps(repr(value)[:_DETAIL_CHARACTERS]).decode()
