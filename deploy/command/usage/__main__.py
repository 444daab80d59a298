"""The command `modelplane usage`, which asks the API for the usage ledger.

Called by `deploy.command.cli`. After: `client`, `report`, `parquet`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from modelplane.adapters.shared.settings import environment
from modelplane.deploy.command.usage.client import UsageClient, UsageError
from modelplane.deploy.command.usage.report import format_table

_DESCRIPTION = """\
Without --group-by: queries, the newest first. With it: totals, for example
`modelplane usage --group-by endpoint,day --since 2026-01-01`. `export` writes all queries that the
filters select to a Parquet file.

The token is MODELPLANE_TOKEN or MODELPLANE_ADMIN_TOKEN, else that of the administrator in the data
directory of `modelplane up`.
"""
_FORMATS = ("table", "json", "csv")
_TOKENS = ("MODELPLANE_TOKEN", "MODELPLANE_ADMIN_TOKEN")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    environ = environment()
    parsed = _parser(environ).parse_args(argv)
    try:
        client = UsageClient(parsed.url, _token(parsed, environ))
        if parsed.action == "export":
            from modelplane.deploy.command.usage.parquet import export  # noqa: PLC0415 - an optional library

            count = export(client.pages(_filters(parsed)), Path(parsed.parquet))
            print(f"{count} rows in {parsed.parquet}")
        else:
            sys.stdout.write(_list(client, parsed))
    except (UsageError, OSError) as error:
        print(f"modelplane usage: {error}", file=sys.stderr)
        return 1
    return 0


def _list(client: UsageClient, parsed: argparse.Namespace) -> str:
    filters = _filters(parsed)
    if parsed.group_by:
        filters["group_by"] = parsed.group_by
    else:
        filters["max_results"] = str(parsed.limit)
    if parsed.format == "table":
        return format_table(client.rows(filters))
    return client.text(filters | {"format": parsed.format}).rstrip() + "\n"


def _filters(parsed: argparse.Namespace) -> dict[str, str]:
    names = ("endpoint", "served_entity", "requester", "client", "tag")
    given = {name: getattr(parsed, name) for name in names}
    times = {"start_time": parsed.since, "end_time": parsed.until}
    return {name: value for name, value in (given | times).items() if value}


def _token(parsed: argparse.Namespace, environ: Mapping[str, str]) -> str:
    for name in _TOKENS:
        if environ.get(name):
            return environ[name]
    file = Path(parsed.data_dir) / "admin-token"
    try:
        return file.read_text().strip()
    except OSError:
        raise UsageError(f"set MODELPLANE_TOKEN; there is no token in {file} either") from None


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelplane usage",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", default="list", choices=("list", "export"))
    parser.add_argument("--url", default=environ.get("MODELPLANE_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--data-dir", default=environ.get("MODELPLANE_DATA_DIR", ".modelplane"))
    parser.add_argument("--endpoint", help="only endpoints with this name")
    parser.add_argument("--served-entity", help="only this served entity: name or identifier")
    parser.add_argument("--requester", help="only this user name or application id")
    parser.add_argument("--client", help="only this kind of client, such as claude_code")
    parser.add_argument(
        "--tag",
        help="only queries with this tag, their own or their endpoint's: KEY or KEY=VALUE",
    )
    parser.add_argument("--since", type=_time, help="from this time on, such as 2026-01-31")
    parser.add_argument("--until", type=_time, help="before this time")
    parser.add_argument(
        "--group-by",
        help="totals by any of endpoint, served_entity, requester, task, client, status_code, "
        "day, hour, tag:KEY, with commas",
    )
    parser.add_argument("--format", default="table", choices=_FORMATS)
    parser.add_argument("--limit", type=int, default=100, help="most queries to list; at most 1000")
    parser.add_argument("--parquet", default="usage.parquet", help="file that `export` writes")
    return parser


def _time(text: str) -> str:
    """Return a time, UTC where it says nothing else, as milliseconds since the epoch."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no ISO 8601 time") from None
    known = time if time.tzinfo else time.replace(tzinfo=UTC)
    return str(int(known.timestamp() * 1000))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
