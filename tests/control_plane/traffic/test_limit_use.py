"""What is used of limits in the minute that it is, on both databases."""

import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_service_pb2 import PutServingEndpointRateLimitsRequest
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts, LimitRefusals
from prometheus_client.parser import text_string_to_metric_families

from modelplane.adapters.shared.limit_keys import counter_key
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.metrics_text import build_metrics_text
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.limits.quota import WINDOW_MS, Demand, Quota
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import GroupRow, PrincipalRow
from modelplane.control_plane.traffic.limit_use import LimitsInUse
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import with_model

BOB = Principal("bob-id", "bob")
LIMITS = [
    {"key": "endpoint", "tokens": 1_000},
    {"key": "user", "calls": 10},
    {"key": "user", "principal": "Ann", "calls": 20, "tokens": 500},
    {"key": "user_group", "principal": "team", "calls": 30},
]


@pytest.fixture
async def endpoint_id(endpoints: Endpoints, settings: SettingChanges, database: Database) -> str:
    async with database.write() as transaction:
        ann = PrincipalRow(id="ann-id", kind="user", name="ann", created_ms=1)
        transaction.session.add(ann)
        transaction.session.add(GroupRow(id="team-id", name="team", created_ms=1))
    found = await endpoints.create(ALICE, with_model())
    limits = [{**limit, "renewal_period": "minute"} for limit in LIMITS]
    gateway = json_format.ParseDict({"rate_limits": limits}, AiGatewayConfig())
    await settings.put_ai_gateway(ALICE, "chat", gateway)
    return found.id


@pytest.fixture
def used(database: Database, clock: FakeClock) -> LimitsInUse:
    return LimitsInUse(database, SharedClock(clock))


@pytest.fixture
def quota(database: Database, clock: FakeClock) -> Quota:
    return Quota(database, SharedClock(clock))


async def granted(used: LimitsInUse, who: Principal = ALICE) -> list[tuple[str, str, str, int]]:
    return [
        (one.key, one.principal, one.unit, int(one.granted))
        for one in (await used.read(who, "chat")).limits
    ]


async def test_each_limit_tells_what_is_taken_of_it(
    used: LimitsInUse, quota: Quota, database: Database, endpoint_id: str, clock: FakeClock
) -> None:
    def demand(unit: str, subject: str, limit: int, needed: int) -> Demand:
        return Demand(counter_key(endpoint_id, unit, subject), limit, needed=needed)

    await quota.lease(
        "w",
        [
            demand("tokens", "", 1_000, 700),
            demand("requests", "bob-id", 10, 4),
            demand("requests", "ann-id", 20, 5),
            demand("requests", "team-id", 30, 6),
        ],
    )
    told = await used.read(ALICE, "chat")
    assert told.window_end_time == (clock.now_ms // WINDOW_MS + 1) * WINDOW_MS
    assert [int(one.limit) for one in told.limits] == [1_000, 10, 20, 500, 30]
    # Nothing is taken for who asks, as far as each one has a limit of their own.
    assert await granted(used) == [
        ("endpoint", "", "TOKENS", 700),
        ("user", "", "CALLS", 0),
        ("user", "Ann", "CALLS", 5),
        ("user", "Ann", "TOKENS", 0),
        ("user_group", "team", "CALLS", 6),
    ]
    assert not told.limits[0].HasField("principal")
    await share(database, "chat", BOB, Level.CAN_VIEW)
    # What others use is for those who manage the endpoint.
    of_all = ("endpoint", "", "TOKENS", 700)
    assert await granted(used, BOB) == [of_all, ("user", "", "CALLS", 4)]
    ann = Principal("ann-id", "ann", group_ids=frozenset({"team-id"}))
    await share(database, "chat", ann, Level.CAN_QUERY)
    assert await granted(used, ann) == [
        of_all,
        ("user", "", "CALLS", 5),
        ("user", "Ann", "CALLS", 5),
        ("user", "Ann", "TOKENS", 0),
        ("user_group", "team", "CALLS", 6),
    ]
    clock.now_ms += WINDOW_MS
    assert {amount for *_, amount in await granted(used)} == {0}


async def test_what_is_owed_is_taken_of_the_next_minute(
    used: LimitsInUse, quota: Quota, endpoint_id: str, clock: FakeClock
) -> None:
    key = counter_key(endpoint_id, "tokens", "")
    await quota.lease("w", [Demand(key, 1_000, needed=1_000)])
    await quota.lease("w", [Demand(key, 1_000, debt=1_300)])
    assert (await granted(used))[0][3] == 1_000
    clock.now_ms += WINDOW_MS
    assert (await granted(used))[0][3] == 1_000
    clock.now_ms += WINDOW_MS
    assert (await granted(used))[0][3] == 300
    # Whoever looks changes nothing.
    lease = await quota.lease("w", [Demand(key, 1_000, needed=1_000)])
    assert lease.grants[0].granted == 700


async def test_refusals_are_of_this_minute_and_their_metric_of_all(
    used: LimitsInUse, database: Database, endpoint_id: str, clock: FakeClock
) -> None:
    metrics = EndpointMetrics(database, clock)

    async def refuse(sequence: int, count: int, principal: str = "ann") -> None:
        refusals = [LimitRefusals(key="user", principal=principal, unit="requests", count=count)]
        counts = EndpointCounts(endpoint_id=endpoint_id, refusals=refusals)
        await metrics.add("w", sequence, [counts])

    async def refused() -> list[int]:
        return [one.refused for one in (await used.read(ALICE, "chat")).limits]

    await refuse(1, 3)
    await refuse(2, 2)
    await refuse(3, 1, principal="")
    assert await refused() == [0, 1, 5, 0, 0]
    clock.now_ms += WINDOW_MS
    assert await refused() == [0, 0, 0, 0, 0]
    await refuse(4, 4)
    assert await refused() == [0, 0, 4, 0, 0]
    _, text = build_metrics_text(await metrics.read(ALICE, "chat"), "text/plain")
    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    samples = families["modelplane_endpoint_limit_refusals"].samples
    assert {(one.labels["principal"], one.value) for one in samples} == {("ann", 9), ("", 1)}
    assert {one.labels["unit"] for one in samples} == {"requests"}
    # Who was refused by a name is for those who manage the endpoint, and for themselves.
    for who, names in ((BOB, [""]), (Principal("ann-id", "Ann"), ["", "ann"])):
        await share(database, "chat", who, Level.CAN_VIEW)
        refusals = (await metrics.read(who, "chat")).refusals
        assert sorted(name.split(" ", 2)[2] for name in refusals) == names


async def test_limits_that_were_are_forgotten_in_the_end(
    database: Database, endpoint_id: str, clock: FakeClock
) -> None:
    metrics = EndpointMetrics(database, clock)
    for number in range(150):
        refusals = [LimitRefusals(key="user", principal=f"u{number}", unit="tokens", count=1)]
        counts = EndpointCounts(endpoint_id=endpoint_id, refusals=refusals)
        await metrics.add("w", number + 1, [counts])
    names = [name.split()[-1] for name in (await metrics.read(ALICE, "chat")).refusals]
    assert names == [f"u{number}" for number in range(50, 150)]


async def test_of_two_limits_on_the_same_the_stricter_is_told(
    used: LimitsInUse, settings: SettingChanges, endpoint_id: str
) -> None:
    assert endpoint_id
    old = PutServingEndpointRateLimitsRequest()
    old.rate_limits.add(key="user", calls=7, renewal_period="minute")
    await settings.put_rate_limits(ALICE, "chat", old.rate_limits)
    by_user = [one for one in (await used.read(ALICE, "chat")).limits if one.key == "user"]
    assert [one.limit for one in by_user if not one.HasField("principal")] == [7]


async def test_without_limits_there_are_none_and_strangers_see_nothing(
    used: LimitsInUse, endpoints: Endpoints
) -> None:
    await endpoints.create(ALICE, with_model())
    assert not (await used.read(ALICE, "chat")).limits
    with pytest.raises(NotFound):
        await used.read(BOB, "chat")
