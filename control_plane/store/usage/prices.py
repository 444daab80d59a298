"""Prices of models' tokens: how they are stored, and what a number of tokens costs, exactly.

A price of a million tokens is a whole number of billionths of the currency, so that the cost of a
token is a whole number of `COST_UNIT`s and nothing is ever rounded. A price holds for whole hours,
which is what totals are of. Before: `usage.prices`, `sums`, `queries`. After: `tables`.
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
    def currency(self) -> str | None:
        """What all are counted in; None: there are none."""
        return next((price.currency for price in self.prices.values()), None)

    @property
    def changes_ms(self) -> frozenset[int]:
        """When prices begin, milliseconds since the epoch."""
        return frozenset(price.from_ms for price in self.prices.values())

    def find(self, provider: str, model: str, time_ms: int) -> Price | None:
        """Return the price of a model at a time; None: it had none."""
        found = self._of_models.get((provider, model), ())
        place = bisect_right(found, time_ms, key=lambda price: price.from_ms)
        return found[place - 1] if place else None


async def read_prices(session: Session) -> PriceList:
    """Return all prices."""
    rows = (await session.exec(select(UsagePriceRow))).all()
    return PriceList({row.id: _price(row) for row in rows})


async def replace_prices(transaction: Transaction, prices: Iterable[Price]) -> None:
    """Store prices in the place of all that there are; each model has one at a time."""
    await transaction.session.exec(delete(UsagePriceRow))
    ordered = sorted(prices, key=lambda price: (price.provider, price.model, price.from_ms))
    rows = []
    for place, price in enumerate(ordered):
        after = ordered[place + 1] if place + 1 < len(ordered) else None
        goes_on = after and (after.provider, after.model) == (price.provider, price.model)
        rows.append(
            {
                "id": place,
                "until_ms": after.from_ms if after and goes_on else _EVER,
                **{name: getattr(price, name) for name in Price.__dataclass_fields__},
            }
        )
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
