"""The course of an endpoint's traffic, on both databases."""

import asyncio

import pytest
from modelserving.v1.traffic_service_pb2 import EndpointSeries, EntitySeries
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts
from sqlalchemy import func
from sqlmodel import col, select

from modelplane.adapters.shared.latency import BUCKETS
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.totals import MAX_NEW_NAMES
from modelplane.control_plane.errors import InvalidParameter, NotFound, TooManyCalls
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import EndpointMetricsRow, SeriesRow
from modelplane.control_plane.traffic.series import MAX_TOLD, Series, Wanted
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import (
    KEY,
    with_model,
)
from tests.control_plane.endpoints.test_totals import report

BOB = Principal("bob-id", "bob")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BY_MINUTE, BY_HOUR, LIVE = Wanted(60), Wanted(3600), Wanted(5)


@pytest.fixture
async def endpoint_id(endpoints: Endpoints, clock: FakeClock) -> str:
    clock.now_ms -= clock.now_ms % HOUR
    return (await endpoints.create(ALICE, with_model())).id


@pytest.fixture
def metrics(database: Database, clock: FakeClock) -> EndpointMetrics:
    return EndpointMetrics(database, clock)


@pytest.fixture
def series(database: Database, clock: FakeClock) -> Series:
    return Series(database, clock)


def counts(
    endpoint_id: str, entity: str = "chat", streams: int = 0, **requests: int
) -> EndpointCounts:
    message = report(entity=entity, **requests)
    message.endpoint_id = endpoint_id
    if streams:
        # Each had its first chunk within 10 to 25 milliseconds.
        message.entities[0].first_chunk_buckets.extend([0, 0, streams] + [0] * (BUCKETS - 3))
    return message


class Reports:
    """Reports of one worker."""

    def __init__(self, metrics: EndpointMetrics, endpoint_id: str) -> None:
        self._metrics = metrics
        self._endpoint_id = endpoint_id
        self._sequence = 0

    async def add(self, entity: str = "chat", **told: int) -> None:
        self._sequence += 1
        message = counts(self._endpoint_id, entity, **told)
        await self._metrics.add("worker", self._sequence, [message])


@pytest.fixture
def reports(metrics: EndpointMetrics, endpoint_id: str) -> Reports:
    return Reports(metrics, endpoint_id)


def of(told: EndpointSeries, name: str = "chat") -> EntitySeries:
    [found] = [one for one in told.entities if one.served_entity_name == name]
    return found


async def test_what_came_in_each_minute_is_told(
    series: Series, reports: Reports, clock: FakeClock
) -> None:
    begun = clock.now_ms
    await reports.add(_200=3, streams=2)
    clock.now_ms += 30_000
    await reports.add(_200=1, _429=2, _404=1, _503=1)
    clock.now_ms += 2 * MINUTE
    await reports.add(_200=5)
    clock.now_ms += MINUTE
    told = await series.read(ALICE, "chat", BY_MINUTE)
    assert list(told.times) == [begun + minute * MINUTE for minute in range(4)]
    chat = of(told)
    assert list(chat.requests) == [8, 0, 5, 0]
    assert list(chat.client_errors) == [3, 0, 0, 0]
    assert list(chat.limited) == [2, 0, 0, 0]
    assert list(chat.server_errors) == [1, 0, 0, 0]
    assert list(chat.input_tokens) == [80, 0, 50, 0]
    assert list(chat.output_tokens) == [8, 0, 5, 0]
    # All calls are in the bucket from 5 to 10 milliseconds.
    assert list(chat.latency_p50_ms) == [7.5, 0, 7.5, 0]
    assert list(chat.latency_p95_ms) == [9.75, 0, 9.75, 0]
    assert list(chat.first_chunk_p50_ms) == [17.5, 0, 0, 0]


async def test_hours_are_told_as_minutes_are(
    series: Series, reports: Reports, clock: FakeClock
) -> None:
    for calls in (1, 2, 4):
        for _ in range(3):
            await reports.add(_200=calls)
            clock.now_ms += 20 * MINUTE
    chat = of(await series.read(ALICE, "chat", BY_HOUR))
    assert list(chat.requests) == [3, 6, 12]
    # A minute in which nobody called is one without calls.
    by_minute = of(await series.read(ALICE, "chat", BY_MINUTE))
    assert sum(by_minute.requests) == 21
    assert [calls for calls in by_minute.requests if calls] == [1, 1, 1, 2, 2, 2, 4, 4, 4]


async def test_a_part_of_the_time_is_told(
    series: Series, reports: Reports, clock: FakeClock
) -> None:
    begun = clock.now_ms
    for calls in (1, 2, 3, 4):
        await reports.add(_200=calls)
        clock.now_ms += MINUTE
    told = await series.read(ALICE, "chat", Wanted(60, begun + MINUTE, begun + 3 * MINUTE))
    assert list(told.times) == [begun + MINUTE, begun + 2 * MINUTE]
    assert list(of(told).requests) == [2, 3]


async def test_replicas_record_the_same(
    database: Database, clock: FakeClock, endpoint_id: str
) -> None:
    replicas = [EndpointMetrics(database, clock) for _ in range(3)]
    for number in (1, 2):
        # Each worker asks all replicas, as when answers are lost.
        await asyncio.gather(
            *(
                replica.add(f"worker-{worker}", number, [counts(endpoint_id, _200=1)])
                for worker in range(4)
                for replica in replicas
            )
        )
        clock.now_ms += MINUTE
    for _ in range(2):
        told = await Series(database, clock).read(ALICE, "chat", BY_MINUTE)
        assert list(of(told).requests) == [4, 4]


async def test_five_seconds_are_recorded_while_somebody_looks(
    series: Series, reports: Reports, clock: FakeClock, database: Database
) -> None:
    async def rows() -> int:
        async with database.read() as session:
            live = col(SeriesRow.step_seconds) == 5
            return (
                await session.exec(select(func.count()).select_from(SeriesRow).where(live))
            ).one()

    await reports.add(_200=1)
    assert await rows() == 0
    clock.now_ms += 5_000
    # Of the time before it is not known.
    assert not (await series.read(ALICE, "chat", LIVE)).times[1:]
    looked = clock.now_ms
    for calls in (2, 3):
        clock.now_ms += 5_000
        await reports.add(_200=calls)
    told = await series.read(ALICE, "chat", LIVE)
    assert (told.times[-2:], told.step_seconds) == ([looked + 0, looked + 5_000], 5)
    clock.now_ms += 5_000
    assert list(of(await series.read(ALICE, "chat", LIVE)).requests)[-2:] == [2, 3]
    # It goes on for who looks again within a quarter of an hour, and ends for who does not.
    clock.now_ms += 14 * MINUTE
    await reports.add(_200=7)
    clock.now_ms += 5_000
    assert of(await series.read(ALICE, "chat", LIVE)).requests[-1] == 7
    clock.now_ms += 20 * MINUTE
    before = await rows()
    await reports.add(_200=9)
    assert await rows() == before
    assert sum(of(await series.read(ALICE, "chat", LIVE)).requests) == 0


async def test_so_many_are_looked_at_and_no_more(
    database: Database, clock: FakeClock, endpoints: Endpoints, endpoint_id: str
) -> None:
    assert endpoint_id
    await endpoints.create(ALICE, with_model("other"))
    series = Series(database, clock, most_looked_at=1)
    await series.read(ALICE, "chat", LIVE)
    with pytest.raises(TooManyCalls, match="step_seconds=60"):
        await series.read(ALICE, "other", LIVE)
    await series.read(ALICE, "other", BY_MINUTE)
    clock.now_ms += 10 * MINUTE
    await series.read(ALICE, "chat", LIVE)
    clock.now_ms += 16 * MINUTE
    await series.read(ALICE, "other", LIVE)


async def test_a_clock_that_was_ahead_for_a_while_leaves_no_calls_of_the_future(
    series: Series, reports: Reports, clock: FakeClock
) -> None:
    begun = clock.now_ms
    await series.read(ALICE, "chat", LIVE)
    await reports.add(_200=100)
    clock.now_ms += 2 * HOUR
    await reports.add(_200=1)
    clock.now_ms = begun + MINUTE
    for calls in (2, 4):
        await reports.add(_200=calls)
        clock.now_ms += MINUTE
    told = of(await series.read(ALICE, "chat", BY_MINUTE))
    assert [calls for calls in told.requests if calls] == [101, 2, 4]
    # What had been kept for long enough by that clock is gone.
    told = of(await series.read(ALICE, "chat", LIVE))
    assert [calls for calls in told.requests if calls] == [2, 4]
    # Nor when the time comes that it showed.
    clock.now_ms = begun + 2 * HOUR + MINUTE // 2
    await reports.add(_200=8)
    told = of(await series.read(ALICE, "chat", BY_MINUTE))
    assert [calls for calls in told.requests if calls] == [101, 2, 4, 8]
    told = of(await series.read(ALICE, "chat", BY_HOUR))
    assert list(told.requests) == [107, 0, 8]


async def test_nobody_looks_at_so_many_that_others_cannot(
    database: Database, clock: FakeClock, endpoints: Endpoints, endpoint_id: str
) -> None:
    series = Series(database, clock, most_looked_at=3, most_by_one=2)
    await series.read(ALICE, "chat", LIVE)
    assert endpoint_id
    for name in ("second", "third"):
        await endpoints.create(ALICE, with_model(name))
    for name in ("chat", "third"):
        await share(database, name, BOB, Level.CAN_VIEW)
    await series.read(ALICE, "second", LIVE)
    with pytest.raises(TooManyCalls, match="You look at 2 endpoints"):
        await series.read(ALICE, "third", LIVE)
    # Others can look at what is free, and at what is recorded already.
    for name in ("chat", "third"):
        await series.read(BOB, name, LIVE)
    # What is gone is looked at no more once its time is over.
    await endpoints.delete(ALICE, "second")
    clock.now_ms += 16 * MINUTE
    await series.read(ALICE, "third", LIVE)


async def test_what_is_old_goes(
    series: Series, reports: Reports, clock: FakeClock, database: Database
) -> None:
    async def kept() -> dict[int, int]:
        step = col(SeriesRow.step_seconds)
        async with database.read() as session:
            return dict((await session.exec(select(step, func.count()).group_by(step))).all())

    await series.read(ALICE, "chat", LIVE)
    for _ in range(90):
        await reports.add(_200=1)
        clock.now_ms += 5 * MINUTE
        await series.read(ALICE, "chat", LIVE)
    found = await kept()
    # Minutes of six hours and live ones of fifteen minutes, up to an hour after; hours stay.
    assert found[60] <= 7 * 12
    assert found[5] <= 15 + 1
    assert found[3600] == 8
    clock.now_ms += 15 * DAY
    await reports.add(_200=1)
    assert await kept() == {60: 1, 3600: 1}
    assert len((await series.read(ALICE, "chat", BY_HOUR)).times) <= 14 * 24 + 1


async def test_before_it_was_recorded_nothing_is_told(
    series: Series, reports: Reports, clock: FakeClock, database: Database, endpoint_id: str
) -> None:
    await reports.add(_200=1)
    # As the migration leaves what older releases have counted.
    clock.now_ms += 10 * MINUTE
    async with database.write() as transaction:
        row = await transaction.session.get(EndpointMetricsRow, endpoint_id)
        assert row is not None
        row.series_from_ms = clock.now_ms
    clock.now_ms += 2 * MINUTE
    told = await series.read(ALICE, "chat", BY_MINUTE)
    assert list(told.times) == [clock.now_ms - 2 * MINUTE, clock.now_ms - MINUTE]


async def test_without_a_call_all_is_zero(
    series: Series, clock: FakeClock, endpoint_id: str
) -> None:
    assert endpoint_id
    clock.now_ms += 3 * MINUTE
    told = await series.read(ALICE, "chat", BY_MINUTE)
    assert [one.served_entity_name for one in told.entities] == ["chat"]
    assert (list(of(told).requests), len(told.times)) == ([0, 0, 0], 3)


async def test_versions_and_entities_that_came_and_went(
    series: Series, reports: Reports, clock: FakeClock, endpoints: Endpoints
) -> None:
    begun = clock.now_ms
    await reports.add(_200=1)
    await reports.add(entity="", _404=2)
    clock.now_ms += MINUTE
    await endpoints.update_config(ALICE, "chat", config_input(openai_entity("next", **KEY)))
    clock.now_ms += 1_000
    await reports.add(entity="next", _200=4)
    told = await series.read(ALICE, "chat", BY_MINUTE)
    assert [(one.time, one.config_version) for one in told.versions] == [
        (begun, 1),
        (begun + MINUTE, 2),
    ]
    assert [one.served_entity_name for one in told.entities] == ["next", "", "chat"]
    assert [list(one.requests) for one in told.entities] == [[0, 4], [2, 0], [1, 0]]
    # Only versions of the time that is asked for.
    later = await series.read(ALICE, "chat", Wanted(60, begun + MINUTE))
    assert [one.config_version for one in later.versions] == [2]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ((7,), "step_seconds: must be 5, 60 or 3600"),
        ((60, float("nan")), "start_time: must be milliseconds"),
        ((60, -1.0), "start_time: must be milliseconds"),
        ((60, 1.0, 1e300), "end_time: must be milliseconds"),
        ((60, 2.0, 2.0), "start_time: must be before"),
    ],
)
def test_what_cannot_be_is_refused(wanted: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Wanted(*wanted)


async def test_only_those_who_see_the_endpoint_see_its_course(
    series: Series, database: Database, endpoint_id: str
) -> None:
    assert endpoint_id
    with pytest.raises(NotFound):
        await series.read(BOB, "chat", LIVE)
    await share(database, "chat", BOB, Level.CAN_VIEW)
    assert of(await series.read(BOB, "chat", LIVE))


async def test_the_course_goes_with_its_endpoint(
    endpoints: Endpoints, reports: Reports, database: Database
) -> None:
    await reports.add(_200=1)
    await endpoints.delete(ALICE, "chat")
    async with database.read() as session:
        assert not (await session.exec(select(SeriesRow))).all()


async def test_entities_that_are_renamed_again_and_again_fill_nothing(
    database: Database, series: Series, metrics: EndpointMetrics, endpoint_id: str, clock: FakeClock
) -> None:
    for hour in range(3):
        report_of_many = EndpointCounts(endpoint_id=endpoint_id)
        for number in range(2 * MAX_NEW_NAMES):
            name = f"entity-{hour}-{number}"
            report_of_many.entities.extend(counts(endpoint_id, name, _200=1).entities)
        await metrics.add("worker", hour + 1, [report_of_many])
        clock.now_ms += HOUR
    await metrics.add("worker", 4, [counts(endpoint_id, "chat", _200=1)])
    async with database.read() as session:
        by_minute = select(func.count()).where(col(SeriesRow.step_seconds) == 60)
        assert (await session.exec(by_minute)).one() == 3 * (MAX_NEW_NAMES + 1) + 1
    told = await series.read(ALICE, "chat", BY_MINUTE)
    names = [one.served_entity_name for one in told.entities]
    assert names[0] == "chat"
    assert len(names) == MAX_TOLD
    assert {f"entity-2-{number}" for number in range(MAX_NEW_NAMES)} < set(names)
    assert sum(of(told, "").requests) == 3 * MAX_NEW_NAMES
