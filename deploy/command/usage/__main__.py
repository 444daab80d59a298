"""The command `modelplane usage`, which asks the API for the usage ledger.

Called by `deploy.command.cli`. After: `report`, `parquet`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed, Refused, Status, WrongUsage
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import argument, run_command
from modelplane.deploy.command.usage.report import format_table

PATH = "/api/2.0/usage"
_DESCRIPTION = """\
Without --group-by: queries, the newest first. With it: totals, for example
`modelplane usage --group-by endpoint,day --since 2026-01-01`. `export` writes all
queries that the filters select to a Parquet file.

Administrators see the usage of all endpoints; who manages one, that of --endpoint.
"""
_FORMATS = ("table", "json", "csv")
_FORBIDDEN = 403


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_command("usage", _DESCRIPTION, _ARGUMENTS, _run, argv)


def _run(session: Session) -> None:
    given = session.given
    _check_together(given)
    if given.action == "export":
        from modelplane.deploy.command.usage.parquet import export  # noqa: PLC0415 - an optional library

        file = Path(given.parquet or "usage.parquet")
        try:
            count = export(_pages(session), file)
        except OSError as error:
            raise CommandFailed(
                f"cannot write {file}: {error.strerror or error}", Status.USAGE
            ) from None
        session.write(f"{count} rows in {file}\n")
        return
    session.write(_list(session))


def _check_together(given: argparse.Namespace) -> None:
    """Refuse options that would have no effect beside the others."""
    exports = given.action == "export"
    useless = {
        "--parquet": given.parquet is not None and not exports,
        "--group-by": given.group_by is not None and exports,
        "--output": given.output is not None and exports,
        "--limit": given.limit is not None and (exports or bool(given.group_by)),
    }
    what = "export" if exports else "--group-by" if given.group_by else "a list"
    for option, has_no_effect in useless.items():
        if has_no_effect:
            raise WrongUsage(f"{option} has no effect with {what}; leave it out")


def _list(session: Session) -> str:
    given = session.given
    filters = _filters(session)
    if given.group_by:
        filters |= {"group_by": given.group_by, "percentiles": "true"}
    else:
        filters["max_results"] = str(100 if given.limit is None else given.limit)
    if given.output not in (None, "table"):
        return _text(session, filters | {"format": given.output}).rstrip() + "\n"
    document = _document(session, filters)
    return format_table(document.get("usage") or document.get("totals") or [], session.width)


def _pages(session: Session) -> Iterator[list[Json]]:
    """Yield the rows of one page after the other."""
    filters = _filters(session)
    token = ""
    while True:
        page = {"page_token": token} if token else {}
        document = _document(session, {**filters, **page})
        yield document["usage"]
        if not (token := document.get("next_page_token", "")):
            return


def _document(session: Session, query: dict[str, str]) -> Json:
    try:
        return session.client.call("GET", PATH, query=query)
    except Refused as error:
        path, rest = _own(session, query, error)
        return session.client.call("GET", path, query=rest)


def _text(session: Session, query: dict[str, str]) -> str:
    try:
        return session.client.text(PATH, query)
    except Refused as error:
        path, rest = _own(session, query, error)
        return session.client.text(path, rest)


def _own(session: Session, query: dict[str, str], refusal: Refused) -> tuple[str, dict[str, str]]:
    """Return where those who are no administrators ask: at an endpoint that they manage."""
    name = session.given.endpoint
    if refusal.http != _FORBIDDEN:
        raise refusal
    if not name:
        raise CommandFailed(
            f"{refusal} Ask for an endpoint that you manage, with --endpoint.", refusal.status
        )
    rest = {key: value for key, value in query.items() if key != "endpoint"}
    return endpoint_path(name, "usage"), rest


def _filters(session: Session) -> dict[str, str]:
    given = session.given
    names = ("endpoint", "served_entity", "provider", "model", "requester", "client", "tag")
    values = {name: getattr(given, name) for name in names}
    values["fallback_only"] = "true" if given.fallback_only else ""
    times = {"start_time": given.since, "end_time": given.until}
    return {name: value for name, value in (values | times).items() if value}


def _time(text: str) -> str:
    """Return a time, UTC where it says nothing else, as milliseconds since the epoch."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no ISO 8601 time") from None
    known = time if time.tzinfo else time.replace(tzinfo=UTC)
    return str(int(known.timestamp() * 1000))


_ARGUMENTS = (
    argument("action", nargs="?", default="list", choices=("list", "export")),
    argument("--endpoint", help="only endpoints with this name"),
    argument("--served-entity", help="only this served entity: name or identifier"),
    argument("--provider", help="only models of this provider, such as openai, or hosted"),
    argument("--model", help="only this model"),
    argument("--requester", help="only this user name or application id"),
    argument("--client", help="only this kind of client, such as claude_code"),
    argument(
        "--tag",
        help="only queries with this tag, their own or their endpoint's: KEY or KEY=VALUE",
    ),
    argument(
        "--fallback-only",
        action="store_true",
        help="only queries for which more than one served entity was asked",
    ),
    argument("--since", type=_time, help="from this time on, such as 2026-01-31"),
    argument("--until", type=_time, help="before this time"),
    argument(
        "--group-by",
        help="totals by any of endpoint, served_entity, provider, model, requester, task, client, "
        "status_code, guardrail_action, day, hour, minute, tag:KEY, with commas",
    ),
    argument(
        "-o", "--output", "--format", choices=_FORMATS, help="form of a list [default: table]"
    ),
    argument("--limit", type=int, help="most queries to list; at most 1000 [default: 100]"),
    argument("--parquet", help="file that `export` writes [default: usage.parquet]"),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
