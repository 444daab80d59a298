"""Reads untyped JSON whose writer is a provider: what has another type counts as absent."""

from modelplane.adapters.providers.types import MAX_COUNT, JsonObject


def as_object(value: object) -> JsonObject:
    """Return an object, empty where there is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[JsonObject]:
    """Return the objects of a list, none where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a text, empty where there is none."""
    return value if isinstance(value, str) else ""


def as_texts(value: object) -> list[str]:
    """Return the texts of a list, none where there is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def as_count(value: object) -> int | None:
    """Return a whole number, which some providers write as `3.0`; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value)
