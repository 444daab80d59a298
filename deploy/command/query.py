"""The command `modelplane query`, which asks payload tables, and rows of usage, in SQL.

Called by `cli`. It reads the tables' own files, and so needs no server and no token: whoever may
read those may use it.
"""

import argparse
import csv
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelplane.adapters.shared.settings import environment, variable_name

_DESCRIPTION = """\
Asks payload tables in SQL, for example
`modelplane query "select request_time, response from main.logs.chat_payload limit 10"`. A name with
a dash is put into double quotes: main.logs."my-endpoint_payload". With --usage, the rows of usage
are the table `usage`, which has their databricks_request_id in common with payload tables.
"""
_FORMATS = ("json", "csv")
_LIMIT = 1_000
_TEXT = re.compile(r"('(?:[^']|'')*')")
_PART = r'(?:\w+|"[\w-]+"|`[\w-]+`)'
_TABLE = re.compile(rf'(?<![\w.`"]){_PART}\.{_PART}\.{_PART}(?![\w.`"])')


class QueryError(Exception):
    """The query has no answer; the text is for the user."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parsed = _parser().parse_args(argv)
    try:
        rows = ask(parsed.root, parsed.sql, parsed.limit, parsed.usage)
        _print(rows, parsed.format)
    except QueryError as error:
        print(f"modelplane query: {error}", file=sys.stderr)
        return 1
    return 0


def ask(
    root: str, sql: str, limit: int = _LIMIT, usage: Path | None = None
) -> list[dict[str, Any]]:
    """Return the first rows of an answer.

    Args:
        root: Directory of the payload tables, or URL of an object store.
        sql: The query, in the SQL of DataFusion; tables have three names.
        limit: Number of rows.
        usage: File of `modelplane usage export`, which is the table `usage`; None: there is none.

    Raises:
        QueryError: There is no such table, or the query is wrong.
    """
    try:
        from deltalake import DeltaTable, QueryBuilder  # noqa: PLC0415 - an optional library
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ImportError:
        raise QueryError("this needs deltalake: pip install 'modelplane[tables]'") from None
    query, tables = _name_tables(sql)
    if not (tables or usage):
        raise QueryError("the query names no table: write CATALOG.SCHEMA.NAME")
    try:
        builder = QueryBuilder()
        for alias, location in tables.items():
            uri = f"{root.rstrip('/')}/{location}"
            if not DeltaTable.is_deltatable(uri):
                raise QueryError(f"there is no table at {uri}")
            builder.register(alias, DeltaTable(uri))
        with _usage_table(usage) as directory:
            if directory:
                builder.register("usage", DeltaTable(directory))
            return list(_first(builder.execute(query), limit))
    except (DeltaError, OSError, ValueError) as error:
        raise QueryError(str(error)) from error


@contextmanager
def _usage_table(usage: Path | None) -> Iterator[str]:
    """Give the directory of a table that has the rows of a Parquet file; empty: there is none.

    Raises:
        OSError: The file cannot be read.
    """
    from deltalake import convert_to_deltalake  # noqa: PLC0415 - an optional library

    if usage is None:
        yield ""
        return
    with TemporaryDirectory(prefix="modelplane-query-") as directory:
        shutil.copyfile(usage, Path(directory) / "usage.parquet")
        convert_to_deltalake(directory)
        yield directory


def _name_tables(sql: str) -> tuple[str, Mapping[str, str]]:
    """Return a query with a plain name for each table, and the tables' locations by these."""
    aliases: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        location = match[0].lower().replace(".", "/").replace('"', "").replace("`", "")
        return aliases.setdefault(location, f"payload_table_{len(aliases)}")

    # Texts are between each two pieces.
    pieces = _TEXT.split(sql)
    pieces[::2] = [_TABLE.sub(name, piece) for piece in pieces[::2]]
    return "".join(pieces), {alias: location for location, alias in aliases.items()}


def _first(batches: Iterable[Any], limit: int) -> Iterator[dict[str, Any]]:
    left = limit
    for batch in batches:
        names = batch.schema.names
        columns = [batch.column(index).to_pylist() for index in range(len(names))]
        for values in zip(*columns, strict=True):
            if not left:
                return
            left -= 1
            yield dict(zip(names, values, strict=True))


def _print(rows: Sequence[dict[str, Any]], form: str) -> None:
    if form == "json":
        for row in rows:
            print(json.dumps(row, default=str))
    else:
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _parser() -> argparse.ArgumentParser:
    given = environment()
    data_dir = Path(given.get(variable_name("data_dir"), ".modelplane"))
    root = given.get(variable_name("tables_root")) or str(data_dir / "tables")
    parser = argparse.ArgumentParser(
        prog="modelplane query",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", help="the query")
    parser.add_argument("--root", default=root, help=f"where the tables are (default: {root})")
    parser.add_argument(
        "--usage", type=Path, metavar="FILE", help="file of `modelplane usage export`"
    )
    parser.add_argument(
        "--format", choices=_FORMATS, default="json", help="a line for each row (default: json)"
    )
    parser.add_argument(
        "--limit", type=int, default=_LIMIT, help=f"number of rows (default: {_LIMIT})"
    )
    return parser
