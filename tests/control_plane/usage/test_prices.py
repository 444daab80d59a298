"""Costs are exact, a new price changes nothing of before, and what is no price is refused."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from modelserving.v1.usage_service_pb2 import Price
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from sqlmodel import col, delete, update

from modelplane.adapters.registries.catalogue import Catalogue
from modelplane.adapters.registries.foundation_model import FoundationModel
from modelplane.control_plane.errors import InvalidParameter, PermissionDenied
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.prices import as_decimal
from modelplane.control_plane.store.usage.tables import (
    UsageMarginRow,
    UsageOriginRow,
    UsagePeriodRow,
    UsageRow,
    UsageTotalRow,
)
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.prices import MAX_PRICES, UsagePrices
from modelplane.control_plane.usage.reader import UsageReader
from modelplane.control_plane.usage.totals import UsageTotals
from modelplane.control_plane.usage.views import build_rows, build_totals, encode_csv
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.usage.test_reader import (
    BOB,
    DAY_MS,
    EVERYTHING,
    HOUR_MS,
    JOURNAL,
    begun,
    ended,
    rows,
    unknown,
)
from tests.control_plane.usage.test_totals import settle


def price(model: str = "gpt-4", **changes: Any) -> Price:
    fields: dict[str, Any] = {
        "provider": "openai",
        "model": model,
        "input_per_million": "2.5",
        "output_per_million": "10",
        "currency": "USD",
    }
    return Price(**fields | changes)


@pytest.fixture
def prices(database: Database) -> UsagePrices:
    return UsagePrices(database, Catalogue())


async def name_models(database: Database) -> None:
    """Let queries for endpoint e-1 be of one model, and those for e-2 of another."""
    async with database.write() as transaction:
        for endpoint_id, model in (("e-1", "gpt-4"), ("e-2", "other")):
            known = {"provider": "openai", "model": model}
            change = update(UsageOriginRow).where(col(UsageOriginRow.endpoint_id) == endpoint_id)
            await transaction.session.exec(change.values(**known))


def spent(number: int, tokens: tuple[int, int, int], **changes: Any) -> UsageEntry:
    """Return a query with tokens in, cached and out."""
    entry = ended(number, **changes)
    outcome = entry.outcome
    outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens = tokens
    return entry


async def costs(
    usage: UsageReader, group_by: Sequence[str] = ("model",), selected: UsageFilter = EVERYTHING
) -> dict[tuple[Any, ...], tuple[str | None, int]]:
    table = build_totals(group_by, await usage.totals(ALICE, selected, group_by))
    return {
        tuple(row[name] for name in group_by): (row["cost"], row["unpriced_requests"])
        for row in table.rows
    }


async def test_costs_are_exact(
    database: Database, intake: UsageIntake, usage: UsageReader, prices: UsagePrices
) -> None:
    entries = [
        spent(1, (1, 0, 0)),
        spent(2, (1_000_001, 1_000_000, 7)),
        spent(3, (5, 0, 5), endpoint_id="e-2"),
        unknown(4),
        begun(5),
    ]
    await intake.record(JOURNAL, entries)
    await name_models(database)
    assert await costs(usage) == {("gpt-4",): (None, 4), ("other",): (None, 1)}
    exact = {"input_per_million": "0.000000001", "cached_input_per_million": "0.30"}
    await prices.replace(ALICE, [price(**exact)])
    # 0.3 for what was cached, 7 tokens of output, and 1e-15 twice.
    assert await costs(usage) == {
        ("gpt-4",): ("0.300070000000002", 0),
        ("other",): (None, 1),
    }
    found = await rows(usage)
    assert [row.cost for row in found] == [
        *(None, None, None),
        Decimal("0.300070000000001"),
        Decimal("0.000000000000001"),
    ]
    printed = build_rows(found, "").rows[-1]
    assert (printed["cost"], printed["currency"]) == ("0.000000000000001", "USD")
    assert b",0.000000000000001,USD," in encode_csv(build_rows(found, ""))
    # Without a price of its own, what was cached costs as the rest.
    await prices.replace(ALICE, [price(input_per_million="1")])
    assert await costs(usage) == {("gpt-4",): ("1.000072", 0), ("other",): (None, 1)}


async def test_a_new_price_leaves_what_was_before(
    database: Database,
    intake: UsageIntake,
    usage: UsageReader,
    prices: UsagePrices,
    clock: FakeClock,
) -> None:
    day = (clock.now_ms // DAY_MS - 2) * DAY_MS
    noon = day + 12 * HOUR_MS
    times = (day - 1, day, noon - 1, noon, noon + 1, day + DAY_MS - 1, clock.now_ms)
    entries = [
        spent(2 * place + twin, (10**6, 0, 0), time_ms=time)
        for place, time in enumerate(times)
        for twin in (0, 1)
    ]
    await intake.record(JOURNAL, entries)
    await name_models(database)
    dear = {"input_per_million": "5"}
    await prices.replace(
        ALICE,
        [price(**dear, from_time=noon), price(input_per_million="3", from_time=day)],
    )
    questions: list[tuple[Sequence[str], UsageFilter]] = [
        (["model"], EVERYTHING),
        (["day"], EVERYTHING),
        (["endpoint", "requester"], EVERYTHING),
        (["hour", "requester"], UsageFilter(start_ms=day)),
        (["day", "model"], UsageFilter(requester="bob")),
        (["tag:team"], EVERYTHING),
    ]
    before = [await costs(usage, *question) for question in questions]
    assert before[0] == {("gpt-4",): (str(4 * 3 + 8 * 5), 2)}
    assert before[1] == {
        (day - DAY_MS,): (None, 2),
        (day,): (str(4 * 3 + 6 * 5), 0),
        (day + 2 * DAY_MS,): ("10", 0),
    }
    await settle(UsageTotals(database, clock, retention_days=90))
    assert [await costs(usage, *question) for question in questions] == before
    # What is over is told by totals: its queries may be gone.
    async with database.write() as transaction:
        old = col(UsageRow.time_ms) < day + DAY_MS
        await transaction.session.exec(delete(UsageRow).where(old))
    assert [await costs(usage, *question) for question in questions[:-1]] == before[:-1]
    # And so does another price, of what was summed up already.
    await prices.replace(ALICE, [price(input_per_million="1")])
    assert await costs(usage) == {("gpt-4",): ("14", 0)}


async def test_totals_of_an_older_release_tell_no_percentile_until_they_are_made_again(
    database: Database,
    intake: UsageIntake,
    usage: UsageReader,
    clock: FakeClock,
) -> None:
    day = (clock.now_ms // DAY_MS - 1) * DAY_MS
    await intake.record(JOURNAL, [ended(number, time_ms=day) for number in range(4)])
    maker = UsageTotals(database, clock, retention_days=90)
    await settle(maker)
    async with database.write() as transaction:
        session = transaction.session
        await session.exec(update(UsageTotalRow).values(latencies=None))
        await session.exec(delete(UsageMarginRow))
        await session.exec(update(UsagePeriodRow).values(told_at=-1, margins=",all,endpoint,"))

    async def told() -> tuple[Any, ...]:
        totals = await usage.totals(ALICE, EVERYTHING, ["endpoint"], percentiles=True)
        table = build_totals(["endpoint"], totals, percentiles=True)
        [row] = table.rows
        return row["requests"], row["p50_latency_ms"], row["p95_latency_ms"]

    assert await told() == (4, None, None)
    await settle(maker)
    async with database.write() as transaction:
        for table in (UsageRow, UsageTotalRow):
            await transaction.session.exec(delete(table))
    # A latency of 12.5 ms, by the middle of its bucket.
    assert await told() == (4, 12.75, 12.75)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": ""}, r"prices\[1\]\.provider must have 1 to 200"),
        ({"model": "x" * 201}, r"prices\[1\]\.model must have 1 to 200"),
        ({"model": "a\0"}, r"prices\[1\]\.model must have"),
        ({"input_per_million": ""}, r"prices\[1\]\.input_per_million must be a number as a text"),
        ({"input_per_million": "-1"}, "input_per_million must be a number"),
        ({"output_per_million": "1e3"}, "output_per_million must be a number"),
        ({"output_per_million": "0.0000000001"}, "up to 9 decimals"),
        ({"output_per_million": "1234567890"}, "up to nine digits"),
        ({"cached_input_per_million": ""}, "cached_input_per_million must be a number"),
        ({"currency": ""}, "currency must be a word of letters"),
        ({"currency": "EUR"}, "currency must be USD"),
        ({"from_time": 1.0}, "from_time must be the start of an hour"),
        ({"from_time": float("nan")}, "from_time must be the start of an hour"),
        ({"from_time": -3_600_000.0}, "from_time must be the start of an hour"),
        ({"model": "gpt-4"}, "another price of this model"),
    ],
)
async def test_what_is_no_price_is_refused(
    prices: UsagePrices, changes: dict[str, Any], said: str
) -> None:
    await prices.replace(ALICE, [price("kept")])
    wrong = price(**{"model": "another", **changes})
    with pytest.raises(InvalidParameter, match=said):
        await prices.replace(ALICE, [price(), wrong])
    assert [found.model for found in await prices.read()] == ["kept"]


async def test_prices_are_told_in_order_as_they_were_given(prices: UsagePrices) -> None:
    given = [
        price("b", from_time=2.0 * HOUR_MS, cached_input_per_million="0"),
        price("b", input_per_million="02.50", output_per_million="0.000000001"),
        price("a", provider="hosted"),
    ]
    ordered = [
        given[2],
        price("b", input_per_million="2.5", output_per_million="0.000000001"),
        given[0],
    ]
    assert await prices.replace(ALICE, given) == ordered
    assert await prices.read() == ordered
    with pytest.raises(InvalidParameter, match="at most 1000"):
        await prices.replace(ALICE, [price(str(number)) for number in range(MAX_PRICES + 1)])
    assert await prices.replace(ALICE, []) == []


async def test_administrators_write(prices: UsagePrices) -> None:
    await prices.replace(ALICE, [price()])
    with pytest.raises(PermissionDenied):
        await prices.replace(BOB, [])
    assert await prices.read() == [price()]


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0"),
        (10**15, "1"),
        (-(10**14), "-0.1"),
        (123 * 10**40, "123" + "0" * 25),
        (1, f"{10**-15:.15f}"),
    ],
)
def test_costs_are_printed_with_all_their_digits(units: int, text: str) -> None:
    assert format(as_decimal(units), "f") == text


def catalogue(**changes: Any) -> Catalogue:
    """Return a catalogue whose one model is the one of endpoint e-1."""
    model = FoundationModel(
        entity="gpt-4", weights="", task="", context_tokens=1, price_unit="USD per 1M tokens"
    )
    return Catalogue([replace(model, **changes)])


async def test_the_catalogue_has_a_price_until_one_is_set(
    database: Database, intake: UsageIntake, usage: UsageReader, clock: FakeClock
) -> None:
    await intake.record(JOURNAL, [spent(1, (10**6, 0, 10**6), time_ms=clock.now_ms)])
    async with database.write() as transaction:
        hosted = update(UsageOriginRow).values(provider="hosted", model="gpt-4")
        await transaction.session.exec(hosted)
    prices = UsagePrices(database, catalogue(price="28.571", input_price="1"))
    for _ in range(2):
        await prices.reconcile()
        assert await costs(usage) == {("gpt-4",): ("29.571", 0)}
    assert [row.cost for row in await rows(usage)] == [Decimal("29.571")]
    # Nobody has set it.
    assert await prices.read() == []
    hour = clock.now_ms // HOUR_MS * HOUR_MS
    own = price(provider="hosted", input_per_million="0", output_per_million="3")
    for set_price, cost in (
        (price(provider="hosted", from_time=hour + HOUR_MS), "29.571"),
        (price("other", currency="USD"), "29.571"),
        # Both could not be added up.
        (price("other", currency="EUR"), None),
        (Price(**fields_of(own), from_time=hour), "3"),
        (own, "3"),
    ):
        assert await prices.replace(ALICE, [set_price]) == [set_price]
        assert (await costs(usage))["gpt-4",][0] == cost
        await prices.reconcile()
        assert await prices.read() == [set_price]
        assert (await costs(usage))["gpt-4",][0] == cost
    await prices.replace(ALICE, [])
    assert await costs(usage) == {("gpt-4",): ("29.571", 0)}
    await UsagePrices(database, catalogue(price="2")).reconcile()
    assert await costs(usage) == {("gpt-4",): ("2", 0)}
    await UsagePrices(database, Catalogue()).reconcile()
    assert await costs(usage) == {("gpt-4",): (None, 1)}


def fields_of(told: Price) -> dict[str, Any]:
    return {field.name: value for field, value in told.ListFields()}
