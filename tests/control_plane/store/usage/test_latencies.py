"""Histograms of latencies add up, and tell percentiles within the error that is stated."""

from collections import Counter
from random import Random

import pytest
from sqlalchemy import ColumnElement, Float, Integer, column, literal_column, table
from sqlmodel import select

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.usage.latencies import (
    add_text,
    bucket_of,
    chunks,
    encode,
    percentile,
)

# Half a sixteenth of an octave; below a millisecond, of one.
ERROR = 1 / 32


def spread() -> list[float]:
    random = Random(3)
    edges = [2.0**octave * (1 + part / 16) for octave in range(-3, 24) for part in range(16)]
    return [
        *edges,
        *(edge - 1e-9 for edge in edges),
        *(10 ** random.uniform(-3, 6.9) for _ in edges),
    ]


async def test_each_latency_is_told_within_the_stated_error(database: Database) -> None:
    latencies = spread()
    given = table("given", column("place", Integer), column("latency", Float))
    bucket = bucket_of(given.c.latency, is_postgresql=database.is_postgresql)
    rows = [{"place": place, "latency": value} for place, value in enumerate(latencies)]
    async with database.read() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(
            "CREATE TEMP TABLE given (place INT, latency DOUBLE PRECISION)"
        )
        await session.exec(given.insert(), params=rows)
        query = select(bucket).select_from(given).order_by(given.c.place)
        told = (await session.exec(query)).all()
    for value, found in zip(latencies, told, strict=True):
        middle = percentile({found: 1}, 0.5)
        assert middle is not None
        if value < 2**23:
            assert abs(middle - value) <= max(value, 1) * ERROR, value
    longest = max(told)
    assert told[latencies.index(max(latencies))] == longest


async def test_what_has_no_latency_has_no_bucket(database: Database) -> None:
    async with database.read() as session:
        missing: ColumnElement[float] = literal_column("CAST(NULL AS DOUBLE PRECISION)")
        bucket = bucket_of(missing, is_postgresql=database.is_postgresql)
        assert (await session.exec(select(bucket))).one() is None


def test_texts_add_up() -> None:
    counts: Counter[int] = Counter()
    for part in ("3:1 5:2", "", "  ", "5:2 5:2 3:4 200:1"):
        add_text(counts, part)
    assert counts == {3: 5, 5: 6, 200: 1}
    again: Counter[int] = Counter()
    add_text(again, encode(counts))
    assert again == counts


def test_a_long_text_is_read_in_pieces() -> None:
    long = " ".join(f"{number % 380}:1" for number in range(100_000))
    pieces = list(chunks(long))
    assert len(pieces) > 4
    whole, parts = Counter[int](), Counter[int]()
    add_text(whole, long)
    for piece in pieces:
        add_text(parts, piece)
    assert parts == whole


@pytest.mark.parametrize(
    ("share", "bucket"), [(0.5, 20), (0.95, 40), (0.9, 30), (1, 40), (0.01, 20)]
)
def test_percentiles_are_of_whole_queries(share: float, bucket: int) -> None:
    counts = {40: 1, 20: 5, 30: 4}
    assert percentile(counts, share) == percentile({bucket: 1}, 1)


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None
