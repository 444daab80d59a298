"""Tags of endpoints as the ledger has them: a column of JSON that filters search.

Before: `ledger` writes the column, `queries` reads it. After: nothing; pure.
"""

from collections.abc import Iterable
from functools import lru_cache

import orjson
from modelserving.store.v1.settings_pb2 import EndpointSettings

_REMEMBERED = 1_024


@lru_cache(maxsize=_REMEMBERED)
def encode_tags(settings: bytes) -> str:
    """Return the column of an endpoint that has these settings, an `EndpointSettings`.

    Every batch of every worker asks for those of its endpoints, which hardly ever change.
    """
    tags = EndpointSettings.FromString(settings).tags
    return orjson.dumps(
        [
            {"key": tag.key, "value": tag.value} if tag.HasField("value") else {"key": tag.key}
            for tag in tags
        ]
    ).decode()


def decode_tags(text: str) -> dict[str, str]:
    """Return the tags in a column."""
    return {tag["key"]: tag.get("value", "") for tag in orjson.loads(text)}


def find_texts(key: str, value: str | None) -> Iterable[str]:
    """Return the texts of which a column has one if it has a tag; without a value any will do."""
    head = orjson.dumps({"key": key}).decode()[:-1]
    if value is None:
        return head + ",", head + "}"
    if not value:
        return (head + "}",)
    return (orjson.dumps({"key": key, "value": value}).decode(),)
