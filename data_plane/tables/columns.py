"""The columns of payload tables: those of the mirrored product in their order, then our own.

Used by `delta.py`. Source: "Inference table schema" in the product's documents.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson
from arro3.core import Array, DataType, Field, Schema, Table, list_array

from modelplane.data_plane.payloads.row import PayloadRow

PARTITION = "request_date"
_MS_PER_DAY = 86_400_000
_US_PER_MS = 1_000


class Column(NamedTuple):
    """A column: its name, and how the array of its values is made of rows."""

    name: str
    build: Callable[[Sequence[PayloadRow]], Array]


def build_table(rows: Sequence[PayloadRow]) -> Table:
    """Return rows as a table of Arrow."""
    arrays = [column.build(rows) for column in COLUMNS]
    fields = [
        Field(column.name, array.type, nullable=True)
        for column, array in zip(COLUMNS, arrays, strict=True)
    ]
    return Table.from_arrays(arrays, schema=Schema(fields))


def _texts(name: str) -> Column:
    return Column(
        name, lambda rows: Array([row.facts.get(name) for row in rows], DataType.string())
    )


def _numbers(name: str, kind: DataType) -> Column:
    return Column(name, lambda rows: Array([row.facts.get(name) for row in rows], kind))


def _times(rows: Sequence[PayloadRow]) -> list[int]:
    return [int(str(row.facts.get("request_time") or 0)) for row in rows]


def _build_dates(rows: Sequence[PayloadRow]) -> Array:
    days = [time // _MS_PER_DAY for time in _times(rows)]
    return Array(days, DataType.int32()).cast(DataType.date32())


def _build_times(rows: Sequence[PayloadRow]) -> Array:
    micros = [time * _US_PER_MS for time in _times(rows)]
    return Array(micros, DataType.int64()).cast(DataType.timestamp("us", tz="UTC"))


def _build_errors(rows: Sequence[PayloadRow]) -> Array:
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row.errors))
    codes = [code for row in rows for code in row.errors]
    kind = DataType.list(Field("element", DataType.string()))
    values = Array(codes, DataType.string())
    return list_array(Array(offsets, DataType.int32()), values, type=kind)


def _build_tags(rows: Sequence[PayloadRow]) -> Array:
    tags = [orjson.dumps(row.facts.get("request_tags") or {}).decode() for row in rows]
    return Array(tags, DataType.string())


def _text(body: bytes | None) -> str | None:
    # What a caller has sent need not be text.
    return None if body is None else body.decode(errors="replace")


COLUMNS = (
    _texts("databricks_request_id"),
    Column(PARTITION, _build_dates),
    _texts("client_request_id"),
    Column("request_time", _build_times),
    _numbers("status_code", DataType.int32()),
    _numbers("sampling_fraction", DataType.float64()),
    _numbers("execution_duration_ms", DataType.int64()),
    Column("request", lambda rows: Array([_text(row.request) for row in rows], DataType.string())),
    Column(
        "response", lambda rows: Array([_text(row.response) for row in rows], DataType.string())
    ),
    Column("logging_error_codes", _build_errors),
    _texts("served_entity_id"),
    _texts("requester"),
    _texts("endpoint_name"),
    _numbers("config_version", DataType.int64()),
    _texts("invocation_id"),
    _numbers("attempts", DataType.int32()),
    Column("request_tags", _build_tags),
    _texts("guardrail_action"),
)
