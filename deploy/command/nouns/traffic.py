"""Verbs of `modelplane endpoints` about traffic: what entities did, and what is used of limits.

Before: `endpoints`.
"""

from collections.abc import Iterator

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column, time_column
from modelplane.deploy.command.api.verbs import Verb, argument
from modelplane.deploy.command.nouns.endpoint_arguments import NAME

_STEPS = (5, 60, 3600)
# Of numbers, by the lists that they are in.
_TITLES = {
    "requests": "REQUESTS",
    "client_errors": "REFUSED",
    "server_errors": "FAILED",
    "latency_p50_ms": "P50 MS",
    "latency_p95_ms": "P95 MS",
    "input_tokens": "TOKENS IN",
    "output_tokens": "OUT",
}


def _series(session: Session) -> None:
    path = endpoint_path(session.given.name, "metrics-series")
    query = {"step_seconds": str(session.given.step)}
    answer = session.client.call("GET", path, query=query)
    columns = [
        time_column("TIME", "time"),
        column("ENTITY", "entity"),
        *(column(title, name) for name, title in _TITLES.items()),
    ]
    session.show_rows(answer, columns, list(_rows(answer)))


def _rows(series: Json) -> Iterator[Json]:
    """Yield what each entity did in each step in which it was asked."""
    for place, time in enumerate(series["times"]):
        for entity in series["entities"]:
            told = {name: int(entity[name][place]) for name in _TITLES}
            if told["requests"]:
                yield {"time": time, "entity": entity["served_entity_name"], **told}


def _limits(session: Session) -> None:
    answer = session.client.call("GET", endpoint_path(session.given.name, "limits"))
    columns = [
        column("KEY", "key"),
        column("PRINCIPAL", "principal"),
        column("UNIT", "unit"),
        Column("LIMIT", lambda row: int(row["limit"])),
        Column("TAKEN", lambda row: int(row["granted"])),
        column("REFUSED", "refused"),
    ]
    session.show_rows(answer, columns, answer["limits"])


VERBS = (
    Verb(
        "series",
        "show what each served entity did, step by step; steps without calls are left out",
        _series,
        (
            NAME,
            argument("--step", type=int, choices=_STEPS, default=60, help="seconds; default 60"),
        ),
    ),
    Verb("limits", "show what is taken of the limits in this minute", _limits, (NAME,)),
)
