"""What a model says, as JSON that every client can read: no NaN, no infinity, no half a character.

Whatever the type, one reading: frames and series as rows, arrays as lists, times as ISO 8601, bytes
as base64, objects of pydantic and data classes as objects.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import importlib
import json
import math
import uuid
from typing import Any, Callable

from .http1 import MOST_BODY_BYTES
from .refusals import bad_request, clean


def write_json(value: object) -> bytes:
    """Return a value as JSON.

    Raises:
        Refused: It cannot be written, or is too large.
    """
    try:
        written = _write(value)
    except RecursionError as error:
        raise bad_request("The model's answer is nested too deeply, or in itself.") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_request(
            clean("The model's answer cannot be written as JSON: %s" % error)
        ) from error
    if len(written) > MOST_BODY_BYTES:
        raise bad_request(
            "The model's answer is too large: it has %d bytes, and may have %d. Ask for fewer rows."
            % (len(written), MOST_BODY_BYTES)
        )
    return written


def _write(value: object) -> bytes:
    if _ORJSON is not None:
        try:
            return _ORJSON(value)
        except TypeError:
            pass  # a number of more than 64 bits, half a character: let the others tell
    try:
        text = _ENCODER.encode(value)
    except ValueError:  # a NaN, as a rule
        text = _ENCODER.encode(_finite(value))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text)).encode()


def _finite(value: object) -> object:
    """Return a value of JSON's types only, with null for what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return _finite(_plain(value))


def _plain(value: Any) -> object:
    """Return what JSON says for a value that it has no type for."""
    for types, convert in _BY_TYPE:
        if isinstance(value, types):
            return convert(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    kind = type(value)
    module = kind.__module__.split(".")[0]
    if module == "pandas":
        return _of_pandas(value)
    if module == "numpy":
        return _of_numpy(value)
    for name in ("model_dump", "tolist", "toarray", "dict"):  # pydantic, tensors, sparse matrices
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return method()
    raise TypeError("it holds a value of type %s" % kind.__name__)


def _of_pandas(value: Any) -> object:
    pandas = importlib.import_module("pandas")
    if isinstance(value, pandas.Series):
        value = value.to_frame()
    if isinstance(value, pandas.DataFrame):
        return _rows(value)
    if value is pandas.NaT or value is pandas.NA:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _rows(frame: Any) -> list[dict[str, object]]:
    names = [name if isinstance(name, str) else str(name) for name in frame.columns]
    columns = [frame.iloc[:, position].tolist() for position in range(len(names))]
    return [dict(zip(names, row)) for row in zip(*columns)] if names else [{}] * len(frame)


def _of_numpy(value: Any) -> object:
    if value.dtype.kind == "M":
        value = importlib.import_module("numpy").datetime_as_string(value)
    elif value.dtype.kind == "m":
        value = value.astype(str)
    else:
        return value.tolist()
    return _without_nat(value.tolist())


def _without_nat(texts: Any) -> object:
    """Return texts of times, with null for what is no time."""
    if isinstance(texts, list):
        return [_without_nat(text) for text in texts]
    return None if texts == "NaT" else texts


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _iso(value: Any) -> str | None:
    text: str = value.isoformat()
    return None if text == "NaT" else text


_BY_TYPE: list[Any] = [
    ((bytes, bytearray, memoryview), _base64),
    ((dt.datetime, dt.date, dt.time), _iso),
    (dt.timedelta, str),
    (enum.Enum, lambda value: value.value),
    ((set, frozenset), list),
    (decimal.Decimal, str),
    (uuid.UUID, str),
]
_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)


def _orjson() -> Callable[[object], bytes] | None:
    """Return the environment's own fast writer, if it has one."""
    try:
        found = importlib.import_module("orjson")
    except ImportError:
        return None
    options = found.OPT_NON_STR_KEYS | found.OPT_PASSTHROUGH_DATETIME

    def write(value: object) -> bytes:
        written: bytes = found.dumps(value, default=_plain, option=options)
        return written

    return write


_ORJSON = _orjson()
