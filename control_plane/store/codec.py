"""Levels and permissions by identifiers, as the columns of grants and lists hold them: JSON.

Before: `endpoints`, `secrets.scopes`. Neighbours: `tables` (the columns).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar

import orjson

L = TypeVar("L", bound=IntEnum)


def encode_levels(levels: Mapping[str, IntEnum]) -> str:
    """Return the JSON object of levels by identifiers."""
    return orjson.dumps({key: level.name for key, level in levels.items()}).decode()


def decode_levels(text: str, cls: type[L]) -> dict[str, L]:
    """Return the levels by identifiers in a JSON object."""
    return {key: cls[name] for key, name in orjson.loads(text).items()}
