"""What callers are told of a name or a value that cannot be taken. Used all over this package."""

from collections.abc import Iterable
from difflib import get_close_matches

from modelplane.control_plane.errors import InvalidParameter, MalformedRequest
from modelplane.control_plane.rest.json_document import Json, JsonObject

_MAX_NAME = 100
_MAX_KNOWN = 20
# Above this, one name is taken for a mistyped other one: `config` is no `traffic_config`.
_LIKENESS = 0.7


def unknown(name: str, path: str, known: Iterable[str], kind: str = "field") -> InvalidParameter:
    """Return the refusal of a name that is not known, with the nearest one that is.

    Args:
        name: The name, as it was given.
        path: Path of the object that it is in; empty at the top.
        known: Names that are known there.
        kind: What it is a name of.
    """
    where, names = join(path, name), sorted(known)
    by_lower = {item.lower(): item for item in names}
    near = get_close_matches(name[:_MAX_NAME].lower(), by_lower, n=1, cutoff=_LIKENESS)
    if near:
        return InvalidParameter(f"Unknown {kind} `{where}`; did you mean `{by_lower[near[0]]}`?")
    listed = ", ".join(f"`{item}`" for item in names[:_MAX_KNOWN])
    more = ", …" if len(names) > _MAX_KNOWN else ""
    hint = f"known here: {listed}{more}" if listed else "none is known here"
    return InvalidParameter(f"Unknown {kind} `{where}`; {hint}.")


def twice(path: str, kind: str = "") -> InvalidParameter:
    """Return the refusal of what is given a second time."""
    return InvalidParameter(f"{kind}`{path}` is given twice; keep one of them.")


def wrong_type(path: str, wanted: str, item: Json) -> MalformedRequest:
    """Return the refusal of a value of another type; it is not shown, since it may be a secret."""
    return MalformedRequest(f"{path or 'The request body'} must be {wanted}, not {_kind(item)}.")


def join(path: str, name: str) -> str:
    """Return the path of a member, as an error message can hold it."""
    name = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
    name = name.encode(errors="backslashreplace").decode()
    return f"{path}.{name}" if path else name


def _kind(item: Json) -> str:
    match item:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case JsonObject():
            return "an object"
        case _:
            return "a list"
