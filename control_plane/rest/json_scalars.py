"""From a JSON value to the value of one field, by the field's type.

Used by `json_reader` and `json_open`.
"""

import base64
import math
import re
from collections.abc import Callable, Mapping

from google.protobuf.descriptor import FieldDescriptor

from modelplane.control_plane.errors import InvalidParameter, MalformedRequest
from modelplane.control_plane.rest.json_document import Json
from modelplane.control_plane.rest.refusals import wrong_type

Scalar = bool | int | float | str | bytes

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = {"true": True, "false": False}
_URL_SAFE = str.maketrans("-_", "+/")


def read_scalar(field: FieldDescriptor, item: Json, path: str) -> Scalar:
    """Return the value that a JSON value gives to a field.

    Raises:
        MalformedRequest: It has the wrong type.
        InvalidParameter: It is a number out of range.
    """
    return _TYPES[field.type](item, path)


def read_text(item: Json, path: str) -> str:
    """Return a text.

    Raises:
        MalformedRequest: It is none.
    """
    if not isinstance(item, str):
        raise wrong_type(path, "a string", item)
    try:
        item.encode()
    except UnicodeEncodeError:
        raise MalformedRequest(f"{path} holds half a surrogate pair, which is no text.") from None
    return item


def read_number(item: Json, path: str) -> float:
    """Return a number, also one that is given as text.

    Raises:
        MalformedRequest: It is none.
        InvalidParameter: It is out of range.
    """
    number = item
    if isinstance(item, str) and _NUMBER.fullmatch(item):
        number = float(item)
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise wrong_type(path, "a number", item)
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise InvalidParameter(f"{path} is out of range; it must be a finite number.")
    return value


def _read_bool(item: Json, path: str) -> bool:
    value = _BOOLEANS.get(item) if isinstance(item, str) else item
    if not isinstance(value, bool):
        raise wrong_type(path, "true or false", item)
    return value


def _integers(bits: int) -> Callable[[Json, str], int]:
    least, greatest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def read(item: Json, path: str) -> int:
        value: Json = item
        if isinstance(item, str):
            value = int(item) if _INTEGER.fullmatch(item) else None
        elif isinstance(item, float):
            value = int(item) if item.is_integer() else None
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(path, "an integer", item)
        if not least <= value <= greatest:
            raise InvalidParameter(
                f"{path} is out of range; it must be from {least} to {greatest}."
            )
        return value

    return read


def _read_bytes(item: Json, path: str) -> bytes:
    # Both alphabets, with padding or without it.
    text = read_text(item, path).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise MalformedRequest(f"{path} must be base64.") from None


_TYPES: Mapping[int, Callable[[Json, str], Scalar]] = {
    FieldDescriptor.TYPE_STRING: read_text,
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_INT32: _integers(32),
    FieldDescriptor.TYPE_INT64: _integers(64),
    FieldDescriptor.TYPE_DOUBLE: read_number,
    FieldDescriptor.TYPE_BYTES: _read_bytes,
}
