"""Columns of Arrow of values that are nested: maps of texts, lists and structures.

Used by `columns.py` and `signals.py`. The library that `deltalake` brings makes none of them by
itself, and the one that would is ten times its size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from arro3.core import Array, DataType, Field, list_array, struct_array

STRING, BOOLEAN = DataType.string(), DataType.bool()
INT, LONG, DOUBLE = DataType.int32(), DataType.int64(), DataType.float64()
_KEY, _VALUE = Field("key", STRING, nullable=False), Field("value", STRING)
_ENTRIES = Field("entries", DataType.struct([_KEY, _VALUE]), nullable=False)
_MAP = DataType.map(_KEY, _VALUE, keys_sorted=False)


@dataclass(frozen=True, slots=True)
class Texts:
    """A map of texts; nothing is an empty one."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; nothing is an empty one.

    Attributes:
        kind: Of its elements.
    """

    kind: "Kind"


@dataclass(frozen=True, slots=True)
class Fields:
    """A structure; of one that is nothing all fields are.

    Attributes:
        kinds: Of its fields, by name.
    """

    kinds: "Mapping[str, Kind]"


Kind: TypeAlias = DataType | Texts | ListOf | Fields


def build(kind: Kind, values: Sequence[Any]) -> Array:
    """Return a column.

    Args:
        kind: What it is of.
        values: Its values, of Python: dictionaries for maps and structures; None: nothing.
    """
    match kind:
        case Texts():
            return _build_maps(values)
        case ListOf():
            offsets, flat = _flatten(values)
            elements = build(kind.kind, flat)
            field = Field("element", elements.type)
            return list_array(offsets, elements, type=DataType.list(field))
        case Fields():
            columns = {
                name: build(of, [(value or {}).get(name) for value in values])
                for name, of in kind.kinds.items()
            }
            missing = Array([value is None for value in values], BOOLEAN)
            fields = [Field(name, column.type) for name, column in columns.items()]
            return struct_array(list(columns.values()), fields=fields, mask=missing)
    return Array(values, kind)


def _build_maps(values: Sequence[Mapping[str, Any] | None]) -> Array:
    offsets, flat = _flatten([list((value or {}).items()) for value in values])
    keys = Array([key for key, _ in flat], STRING)
    told = Array([_text(value) for _, value in flat], STRING)
    entries = struct_array([keys, told], fields=[_KEY, _VALUE])
    return Array.from_arrow(_Retyped(list_array(offsets, entries, type=DataType.list(_ENTRIES))))


class _Retyped:
    """A list of entries, handed over as the map that it is.

    In memory they are the same: Arrow's columnar format, "Map layout".
    """

    def __init__(self, entries: Array) -> None:
        self._entries = entries

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the capsules of Arrow's PyCapsule interface: type and contents."""
        del requested_schema
        return Field("", _MAP).__arrow_c_schema__(), self._entries.__arrow_c_array__()[1]


def _flatten(values: Sequence[Sequence[Any] | None]) -> tuple[Array, list[Any]]:
    """Return where each list ends in all of them together, and all of them."""
    ends, flat = [0], list[Any]()
    for value in values:
        flat += value or ()
        ends.append(len(flat))
    return Array(ends, INT), flat


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
