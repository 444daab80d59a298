"""Prices of models in files: all that there are to be, since the API replaces them together.

Before: `registry`. After: `nouns.prices`.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.declared.differences import Difference, compare
from modelplane.deploy.command.declared.kinds.base import (
    CHANGE,
    KEEP,
    Item,
    Kind,
    Step,
    World,
    nothing,
)
from modelplane.deploy.command.nouns.prices import PATH, since

PRICES = "prices"
_WORD, _NAME = "prices", "of models"
_TEXTS = ("provider", "model", "currency")
_NUMBERS = ("input_per_million", "output_per_million", "cached_input_per_million")
_OPTIONAL = "cached_input_per_million"
_TIME = "from_time"
# As the API's.
_MOST = 1_000
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_HOUR_MS = 3_600_000


def _check(item: Item) -> None:
    prices = item.body[PRICES]
    if len(prices) > _MOST:
        raise WrongUsage(f"{item.file}: prices may have at most {_MOST}, and has {len(prices)}")
    seen: set[str] = set()
    for number, price in enumerate(prices):
        place = f"{item.file}: prices[{number}]"
        _check_one(price, place)
        if (label := _label(price)) in seen:
            raise WrongUsage(f"{place}: {label} has a price already; keep one")
        seen.add(label)
        if price["currency"] != prices[0]["currency"]:
            raise WrongUsage(
                f"{place}: currency must be {prices[0]['currency']}, as of those before"
            )


def _check_one(price: Json, place: str) -> None:
    for name in _TEXTS:
        if not isinstance(price.get(name), str) or not price[name]:
            raise WrongUsage(f"{place}: {name} is missing, or no text")
    for name in _NUMBERS:
        if name == _OPTIONAL and name not in price:
            continue
        if not isinstance(price.get(name), str) or not _NUMBER.fullmatch(price[name]):
            raise WrongUsage(
                f'{place}: {name} must be a number in quotes, such as "2.50", with up to nine '
                "digits and nine decimals"
            )
    time = price.get(_TIME, 0)
    if not isinstance(time, int | float) or time < 0 or time % _HOUR_MS:
        raise WrongUsage(
            f"{place}: {_TIME} must be the start of an hour (UTC), in milliseconds since the epoch"
        )


def _plan(world: World, item: Item) -> Step:
    there, wanted = _by_label(_read(world)), _by_label(item.body[PRICES])
    differences = [
        one
        for label in (*there, *(label for label in wanted if label not in there))
        for one in _compare(label, there.get(label), wanted.get(label))
    ]
    if not differences:
        return Step(KEEP, _WORD, _NAME, nothing)

    def change() -> None:
        world.client.call("PUT", PATH, item.body)

    return Step(CHANGE, _WORD, _NAME, change, differences)


def _compare(label: str, old: Json | None, new: Json | None) -> Iterator[Difference]:
    path = f"{PRICES}[{label}]"
    if old is None or new is None:
        yield Difference(path, old, new)
    else:
        yield from compare(path, old, new)


def _by_label(prices: list[Json]) -> dict[str, Json]:
    """Return what prices say, in one form, by what they are of."""
    return {
        _label(price): {
            name: _plain(price[name]) if name in _NUMBERS else price[name]
            for name in (*_NUMBERS, "currency")
            if name in price
        }
        for price in prices
    }


def _label(price: Json) -> str:
    return f"{price['provider']} {price['model']} {since(price)}"


def _plain(number: str) -> str:
    """Return a number without zeros that say nothing."""
    return format(Decimal(number).normalize(), "f")


def _read(world: World) -> list[Json]:
    prices: list[Json] = world.client.call("GET", PATH).get(PRICES, [])
    return prices


def _export(world: World) -> Iterator[Json]:
    yield from _read(world)


KIND = Kind(
    _WORD,
    "model",
    (*_TEXTS, *_NUMBERS, _TIME),
    _check,
    _plan,
    _export,
    is_one=True,
)
