"""What a caller notes on a query for the usage ledger: `usage_context` and `client_request_id`.

Used by `invocation.py`, before `query.py` takes these fields out of the body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter

MAX_PAIRS = 50
MAX_KEY_CHARACTERS = 128
MAX_VALUE_CHARACTERS = 1_024
MAX_CHARACTERS = 4_096
MAX_ID_CHARACTERS = 256

_CONTEXT = "usage_context"
_ID = "client_request_id"
FIELDS = (_CONTEXT, _ID)
# As the mirrored product has it.
TAGS_HEADER = "databricks-ai-gateway-request-tags"


@dataclass(frozen=True, slots=True)
class Labels:
    """Notes on a query.

    Attributes:
        client_request_id: The caller's own identifier; empty where they gave none.
        usage_context: Whom or what the usage is for.
    """

    client_request_id: str = ""
    usage_context: Mapping[str, str] = field(default_factory=dict)


NO_LABELS = Labels()
NO_METADATA: Mapping[str, str] = {}


def parse_labels(body: JsonObject, metadata: Mapping[str, str] = NO_METADATA) -> Labels:
    """Return the notes in a request's body, and those that come as tags in a header.

    Agents whose bodies are not theirs to change can set a header; where both have a key, the body's
    value counts.

    Raises:
        InvalidParameter: One has another form, or is too long.
    """
    context, request_id = body.get(_CONTEXT), body.get(_ID)
    tags = metadata.get(TAGS_HEADER)
    if context is None and request_id is None and tags is None:
        return NO_LABELS
    if tags is not None:
        own = context if context is not None else {}
        context = {**_parse_tags(tags), **own} if isinstance(own, dict) else own
    return Labels(_parse_id(request_id), _parse_context(context))


def _parse_tags(text: str) -> JsonObject:
    try:
        tags = orjson.loads(text)
    except orjson.JSONDecodeError:
        tags = None
    if not isinstance(tags, dict):
        raise InvalidParameter(
            f"The header '{TAGS_HEADER}' must be a JSON object of texts, such as "
            '{"project": "search"}.'
        )
    return tags


def _parse_id(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_ID_CHARACTERS or "\0" in value:
        raise InvalidParameter(f"'{_ID}' must be a text of at most {MAX_ID_CHARACTERS} characters.")
    return value


def _parse_context(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidParameter(
            f"'{_CONTEXT}' must be an object whose values are texts, "
            'such as {"project": "search"}.'
        )
    total = sum(len(key) + len(item) for key, item in value.items())
    if len(value) > MAX_PAIRS or total > MAX_CHARACTERS:
        raise InvalidParameter(
            f"'{_CONTEXT}' may have at most {MAX_PAIRS} keys and {MAX_CHARACTERS} characters in "
            "all."
        )
    for key, item in value.items():
        if len(key) > MAX_KEY_CHARACTERS or len(item) > MAX_VALUE_CHARACTERS:
            raise InvalidParameter(
                f"A key of '{_CONTEXT}' may have at most {MAX_KEY_CHARACTERS} characters, and a "
                f"value {MAX_VALUE_CHARACTERS}."
            )
        if "\0" in key or "\0" in item:
            raise InvalidParameter(f"'{_CONTEXT}' must not hold the NUL character.")
    return value
