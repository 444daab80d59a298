"""The command `modelplane prices`: what the tokens of models cost.

Called by `cli`. Prices are read and written together, so a verb that changes one writes all.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun

PATH = "/api/2.0/prices"


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    document = session.client.call("GET", PATH)
    session.show_rows(document, _COLUMNS, document.get("prices", []))


def _set(session: Session) -> None:
    given = session.given
    prices = session.client.call("GET", PATH).get("prices", [])
    currency = given.currency or (prices[0]["currency"] if prices else "USD")
    price = {
        "provider": given.provider,
        "model": given.model,
        "input_per_million": given.input_price,
        "output_per_million": given.output_price,
        "currency": currency,
    }
    if given.cached_input_price:
        price["cached_input_per_million"] = given.cached_input_price
    if given.since:
        price["from_time"] = given.since
    rest = [one for one in prices if not _is_meant(one, given)]
    answer = session.client.call("PUT", PATH, {"prices": [*rest, price]})
    session.say(f"set the price of {given.provider} {given.model} {since(price)}", answer)


def _delete(session: Session) -> None:
    given = session.given
    prices = session.client.call("GET", PATH).get("prices", [])
    rest = [one for one in prices if not _is_meant(one, given)]
    if len(rest) == len(prices):
        raise CommandFailed(
            f"{given.provider} {given.model} has no price {since({'from_time': given.since})}; "
            "see `modelplane prices list`",
            Status.NOT_THERE,
        )
    answer = session.client.call("PUT", PATH, {"prices": rest})
    session.say(f"deleted a price of {given.provider} {given.model}", answer)


def _is_meant(price: Json, given: Any) -> bool:  # noqa: ANN401 - what argparse returns
    key = price["provider"], price["model"], price.get("from_time", 0)
    return key == (given.provider, given.model, given.since)


def since(price: Mapping[str, Any]) -> str:
    """Tell from when on a price holds."""
    time = price.get("from_time", 0)
    if not time:
        return "since ever"
    return f"from {datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M} on"


def _hour(text: str) -> float:
    """Return the start of an hour, UTC where it says nothing else, in milliseconds."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no ISO 8601 time") from None
    known = time if time.tzinfo else time.replace(tzinfo=UTC)
    return known.timestamp() * 1000


_COLUMNS = [
    column("PROVIDER", "provider"),
    column("MODEL", "model"),
    Column("FROM", since),
    column("INPUT", "input_per_million"),
    column("CACHED", "cached_input_per_million"),
    column("OUTPUT", "output_per_million"),
    column("CURRENCY", "currency"),
]
_MODEL = (
    argument("provider", help="provider, such as openai; hosted: the model is hosted here"),
    argument("model", help="name of the model at the provider; of a hosted one the registry's"),
    argument(
        "--from",
        dest="since",
        type=_hour,
        default=0,
        metavar="TIME",
        help="the hour from which on it holds, such as 2026-01-31T15:00; default: since ever",
    ),
)
NOUN = Noun(
    "prices",
    "Say what the tokens of models cost, for the costs of usage.",
    (
        Verb("list", "list the prices, of a million tokens each", _list),
        Verb(
            "set",
            "set a price of a model; what others of it say of other times stays",
            _set,
            (
                *_MODEL,
                argument(
                    "--input-price", required=True, help="price of a million tokens of requests"
                ),
                argument(
                    "--output-price", required=True, help="price of a million tokens of answers"
                ),
                argument("--cached-input-price", default="", help="of those that were cached"),
                argument("--currency", default="", help="default: as of the others, else USD"),
            ),
        ),
        Verb("delete", "delete a price of a model", _delete, _MODEL),
    ),
)
