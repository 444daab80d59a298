"""From the bytes of a body to JSON values that hide nothing: an object keeps each member it has.

Before: `call`. After: `json_reader`, which reads messages from the values.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from modelplane.control_plane.errors import MalformedRequest

# Several times what the largest configuration takes.
MAX_BODY_BYTES = 4 * 1024 * 1024
# Reading this many holds every other call up for a third of a second.
MAX_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object.

    Attributes:
        members: Names and values, in order; a name that is given twice is there twice.
    """

    members: Sequence[tuple[str, "Json"]] = ()


Json: TypeAlias = bool | int | float | str | JsonObject | list["Json"] | None


def parse_document(body: bytes) -> Json:
    """Return the one JSON value in a body; an empty object where the body is empty.

    Raises:
        MalformedRequest: It is no JSON, or too large.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MalformedRequest(
            f"The request body has {len(body)} bytes; at most {MAX_BODY_BYTES} are accepted here."
        )
    # Each value but the first follows one of these; those inside texts count too, which is no harm.
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MalformedRequest(
            f"The request body holds too many values; at most {MAX_VALUES} are accepted here."
        )
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedRequest("The request body is not UTF-8; send JSON in UTF-8.") from None
    if not text.strip():
        return JsonObject()
    return _parse(text)


def _parse(text: str) -> Json:
    try:
        document: Json = json.loads(
            text, object_pairs_hook=JsonObject, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"The request body is not JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}."
        ) from None
    except RecursionError:
        raise MalformedRequest("The request body is nested too deeply.") from None
    except ValueError:
        # Python bounds the length of a number.
        raise MalformedRequest("The request body holds a number that is too long.") from None
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"The request body is not JSON: {name} is no JSON number.")
