"""Prices of models' tokens: how they are stored, and what a number of tokens costs, exactly.

A price of a million tokens is a whole number of billionths of the currency, so that the cost of a
token is a whole number of `COST_UNIT`s and nothing is ever rounded. A price holds for whole hours,
which is what totals are of. Those of the catalogue of foundation models are stored beside those
that are set, under negative identifiers, so that reports read both alike. Before:
`usage.prices`, `sums`, `queries`. After: `tables`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, delete, insert, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.usage.periods import DAY_MS
from modelplane.control_plane.store.usage.tables import UsagePriceRow

PRICE_DECIMALS = 9
# Decimals of a cost: those of a price, and the million that it is of.
_COST_DECIMALS = PRICE_DECIMALS + 6
# Later than any time.
_EVER = 1 << 53


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost from a time on, a million of each, in billionths of the currency.

    Attributes:
        provider: Provider of the model.
        model: Its name there.
        from_ms: Start of an hour, milliseconds since the epoch.
        input: Of requests.
        output: Of answers.
        cached_input: Of requests, what the provider had cached; None: as the rest.
        currency: What it is counted in.
    """

    provider: str
    model: str
    from_ms: int
    input: int
    output: int
    cached_input: int | None
    currency: str

    def cost(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """Return what tokens cost, in units of `as_decimal`; those cached are among the input."""
        cached = self.input if self.cached_input is None else self.cached_input
        return (
            (input_tokens - cached_tokens) * self.input
            + cached_tokens * cached
            + output_tokens * self.output
        )


def as_decimal(cost: int) -> Decimal:
    """Return a cost in the currency, with all its digits."""
    sign = "-" if cost < 0 else ""
    whole, rest = divmod(abs(cost), 10**_COST_DECIMALS)
    digits = f"{rest:0{_COST_DECIMALS}}".rstrip("0")
    return Decimal(f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}")


@dataclass(frozen=True)
class PriceList:
    """All prices, as they are stored.

    Attributes:
        prices: The prices by their identifier in the table.
    """

    prices: Mapping[int, Price] = field(default_factory=dict)

    @cached_property
    def _of_models(self) -> Mapping[tuple[str, str], Sequence[Price]]:
        """The prices of each model, by time."""
        of_models: dict[tuple[str, str], list[Price]] = {}
        for price in sorted(self.prices.values(), key=lambda one: one.from_ms):
            of_models.setdefault((price.provider, price.model), []).append(price)
        return of_models

    @property
    def set_prices(self) -> list[Price]:
        """Those that administrators have set, by provider, model and time."""
        return [price for number, price in sorted(self.prices.items()) if number >= 0]

    @property
    def catalogue_prices(self) -> list[Price]:
        """Those of the catalogue that count, by provider and model."""
        return sorted((one for number, one in self.prices.items() if number < 0), key=_order)

    @property
    def currency(self) -> str | None:
        """What all are counted in; None: there are none."""
        return next((price.currency for price in self.prices.values()), None)

    @property
    def broken_days(self) -> frozenset[int]:
        """The starts of the days, milliseconds since the epoch, in which a price changes."""
        return frozenset(
            price.from_ms // DAY_MS * DAY_MS
            for price in self.prices.values()
            if price.from_ms % DAY_MS
        )

    def find(self, provider: str, model: str, time_ms: int) -> Price | None:
        """Return the price of a model at a time; None: it had none."""
        found = self._of_models.get((provider, model), ())
        place = bisect_right(found, time_ms, key=lambda price: price.from_ms)
        return found[place - 1] if place else None


async def read_prices(session: Session) -> PriceList:
    """Return all prices."""
    rows = (await session.exec(select(UsagePriceRow))).all()
    return PriceList({row.id: _price(row) for row in rows})


async def replace_prices(
    transaction: Transaction, prices: Iterable[Price], catalogue: Iterable[Price] = ()
) -> None:
    """Store prices in the place of all that there are; each model has one at a time.

    Args:
        transaction: Writes them.
        prices: Those that are set.
        catalogue: One of a model since ever, see `counted`.
    """
    await transaction.session.exec(delete(UsagePriceRow))
    given = list(prices)
    await _insert(transaction, given, counted(given, catalogue))


async def has_catalogue_prices(session: Session, catalogue: Iterable[Price]) -> bool:
    """Tell whether those of the catalogue that count are stored, and no others."""
    stored = await read_prices(session)
    return counted(stored.set_prices, catalogue) == stored.catalogue_prices


async def replace_catalogue_prices(transaction: Transaction, catalogue: Iterable[Price]) -> None:
    """Store the prices of the catalogue that count, and leave those that are set alone."""
    stored = await read_prices(transaction.session)
    wanted = counted(stored.set_prices, catalogue)
    await transaction.session.exec(delete(UsagePriceRow).where(col(UsagePriceRow.id) < 0))
    await _insert(transaction, stored.set_prices, wanted, only_catalogue=True)


def counted(prices: Sequence[Price], catalogue: Iterable[Price]) -> list[Price]:
    """Return the prices of the catalogue that count beside those that are set.

    One does before the first price of its model that is set, and none does where those are in
    another currency: costs are added up.
    """
    ever = {(price.provider, price.model) for price in prices if price.from_ms == 0}
    currency = prices[0].currency if prices else None
    found = [
        price
        for price in catalogue
        if (price.provider, price.model) not in ever and currency in (None, price.currency)
    ]
    return sorted(found, key=_order)


def _order(price: Price) -> tuple[str, str, int]:
    return price.provider, price.model, price.from_ms


async def _insert(
    transaction: Transaction,
    prices: Sequence[Price],
    catalogue: Sequence[Price],
    *,
    only_catalogue: bool = False,
) -> None:
    known = [*((price, True) for price in prices), *((price, False) for price in catalogue)]
    ordered = sorted(known, key=lambda one: _order(one[0]))
    rows = []
    for place, (price, is_set) in enumerate(ordered):
        after = ordered[place + 1][0] if place + 1 < len(ordered) else None
        goes_on = after and (after.provider, after.model) == (price.provider, price.model)
        rows.append(
            {
                "id": place if is_set else -1 - place,
                "until_ms": after.from_ms if after and goes_on else _EVER,
                **{name: getattr(price, name) for name in Price.__dataclass_fields__},
            }
        )
    if only_catalogue:
        rows = [row for row in rows if row["id"] < 0]
    if rows:
        await transaction.session.exec(insert(UsagePriceRow), params=rows)


def holds(provider: Any, model: Any, time_ms: Any) -> ColumnElement[bool]:  # noqa: ANN401 - columns
    """Return the condition that a price is that of these columns."""
    row = UsagePriceRow
    return and_(
        col(row.provider) == provider,
        col(row.model) == model,
        col(row.from_ms) <= time_ms,
        col(row.until_ms) > time_ms,
    )


def _price(row: UsagePriceRow) -> Price:
    return Price(**row.model_dump(exclude={"id", "until_ms"}))
