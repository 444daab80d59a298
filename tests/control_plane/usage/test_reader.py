"""The usage ledger: one row for each query, whatever comes how often and in which order."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from modelserving.launcher.v1.launcher_service_pb2 import ReplicaSize
from modelserving.store.v1.hosting_pb2 import HostedModel, ModelDescription, ScalePolicy
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointTag, ServedEntity
from modelserving.worker.v1.usage_service_pb2 import (
    UsageAttempt,
    UsageEntry,
    UsageGuardrail,
    UsageOutcome,
)

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import InvalidParameter, NotFound, PermissionDenied
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.groups import COUNTS, Group
from modelplane.control_plane.store.usage.queries import ServedVersion, StoredQuery
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.reader import MAX_RESULTS, Total, UsageReader
from modelplane.control_plane.usage.views import (
    build_rows,
    build_served_entities,
    build_totals,
    encode_csv,
    encode_json,
)
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import with_model

BOB = Principal("bob-id", "bob")
JOURNAL = b"journal1"
EVERYTHING = UsageFilter()
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def key(number: int, journal: bytes = JOURNAL) -> bytes:
    return journal + number.to_bytes(8, "big")


def begun(number: int = 1, **changes: Any) -> UsageEntry:
    fields: dict[str, Any] = {
        "key": key(number),
        "request_id": "req-1",
        "client_request_id": "c-1",
        "usage_context": {"team": "a"},
        "time_ms": 1_699_617_500_000 + number,
        "endpoint_id": "e-1",
        "endpoint_name": "chat",
        "config_version": 3,
        "task": "llm/v1/chat",
        "requester_id": "bob-id",
        "requester": "bob",
        "client": "codex",
        "input_characters": 5,
        "served_entity_name": "first",
    }
    return UsageEntry(**fields | changes)


def ended(number: int = 1, status: int = 200, **changes: Any) -> UsageEntry:
    entry = begun(number, **changes)
    entry.outcome.MergeFrom(
        UsageOutcome(
            status_code=status,
            served_entity_name="second",
            input_tokens=10,
            output_tokens=20,
            cached_tokens=4,
            output_characters=80,
            latency_ms=12.5,
            attempts=[
                UsageAttempt(served_entity_name="first", error="RateLimited", latency_ms=1),
                UsageAttempt(served_entity_name="second", latency_ms=11),
            ],
        )
    )
    return entry


def unknown(number: int = 1) -> UsageEntry:
    entry = begun(number)
    entry.outcome.unknown = True
    return entry


async def rows(usage: UsageReader, selected: UsageFilter = EVERYTHING) -> list[StoredQuery]:
    return (await usage.queries(ALICE, selected, MAX_RESULTS, ""))[0]


async def test_a_query_has_all_columns(intake: UsageIntake, usage: UsageReader) -> None:
    entry = ended()
    entry.outcome.guardrail.MergeFrom(
        UsageGuardrail(
            action="blocked",
            policy="pii",
            phase="input",
            entities={"US_SSN": 2},
            check_us=90,
            unread_parts=1,
            logged={"words": "blocked"},
        )
    )
    await intake.record(JOURNAL, [entry])
    [row] = await rows(usage)
    [printed] = build_rows([row], "").rows
    assert dict(printed) == {
        "account_id": "",
        "workspace_id": "0",
        "client_request_id": "c-1",
        "databricks_request_id": "req-1",
        "requester": "bob",
        "status_code": 200,
        "request_time": 1_699_617_500_001,
        "input_token_count": 10,
        "output_token_count": 20,
        "input_character_count": 5,
        "output_character_count": 80,
        "usage_context": {"team": "a"},
        "request_streaming": False,
        "served_entity_id": row.served_entity_id,
        "entry_id": key(1).hex(),
        "state": "ENDED",
        "error": None,
        "endpoint_id": "e-1",
        "endpoint_name": "chat",
        "endpoint_config_version": 3,
        "endpoint_tags": {},
        "served_entity_name": "second",
        "task": "llm/v1/chat",
        "requester_id": "bob-id",
        "client": "codex",
        "cached_token_count": 4,
        "reasoning_token_count": None,
        "token_counts_estimated": False,
        "latency_ms": 12.5,
        "first_chunk_ms": None,
        "attempts": [
            {"served_entity_name": "first", "error": "RateLimited", "latency_ms": 1.0},
            {"served_entity_name": "second", "error": "", "latency_ms": 11.0},
        ],
        "guardrail_action": "blocked",
        "guardrail_policy": "pii",
        "guardrail_phase": "input",
        "guardrail_entities": {"US_SSN": 2},
        "guardrail_logged": {"words": "blocked"},
        "guardrail_us": 90,
        "guardrail_unread_parts": 1,
        "provider": None,
        "model": None,
        "cost": None,
        "currency": None,
    }
    [total] = await usage.totals(ALICE, EVERYTHING, ["guardrail_action"])
    assert total.values == ("blocked",)


async def test_a_query_without_guardrails_tells_nothing_of_them(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [ended()])
    [printed] = build_rows(await rows(usage), "").rows
    assert printed["guardrail_action"] is None
    assert printed["guardrail_entities"] == {}


async def test_attempts_are_told_as_they_were(intake: UsageIntake, usage: UsageReader) -> None:
    cases: list[list[UsageAttempt]] = [
        [],
        [UsageAttempt(served_entity_name="second", latency_ms=1.2345)],
        [UsageAttempt(served_entity_name="second", error="Timeout", latency_ms=1)],
        [UsageAttempt(served_entity_name="first", latency_ms=1)],
        [UsageAttempt(served_entity_name="second", latency_ms=1)] * 2,
    ]
    for number, attempts in enumerate(cases):
        entry = ended(number)
        del entry.outcome.attempts[:]
        entry.outcome.attempts.extend(attempts)
        await intake.record(JOURNAL, [entry])
    found = [row.attempts for row in reversed(await rows(usage))]
    assert found == [
        [
            {
                "served_entity_name": attempt.served_entity_name,
                "error": attempt.error,
                "latency_ms": round(attempt.latency_ms, 3),
            }
            for attempt in attempts
        ]
        for attempts in cases
    ]


async def test_pages_follow_each_other_without_gap_or_repetition(
    intake: UsageIntake, usage: UsageReader
) -> None:
    # Times that are equal are the hard case.
    entries = [ended(number, time_ms=number // 3) for number in range(10)]
    await intake.record(JOURNAL, entries)
    found, token = [], ""
    while True:
        page, token = await usage.queries(ALICE, EVERYTHING, 4, token)
        found += page
        if not token:
            break
    assert [row.id for row in found] == [key(number).hex() for number in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("selected", "numbers"),
    [
        (UsageFilter(endpoint="chat"), [3, 1]),
        (UsageFilter(endpoint_id="e-2"), [2]),
        (UsageFilter(served_entity="second"), [3, 2, 1]),
        (UsageFilter(served_entity="first"), []),
        (UsageFilter(requester="carol"), [3]),
        (UsageFilter(start_ms=2000), [3, 2]),
        (UsageFilter(end_ms=2000), [1]),
        (UsageFilter(endpoint="chat", requester="bob"), [1]),
        (UsageFilter(status=(400, 500)), [2]),
        (UsageFilter(status=(429, 430)), [2]),
        (UsageFilter(status=(500, 600)), []),
        (UsageFilter(state=UsageState.ENDED), [3, 2, 1]),
        (UsageFilter(state=UsageState.RUNNING), []),
        (UsageFilter(min_latency_ms=12.5), [3, 2, 1]),
        (UsageFilter(min_latency_ms=12.6), []),
        (UsageFilter(request_id="req-3"), [3]),
        (UsageFilter(request_id="c-1"), [2, 1]),
        (UsageFilter(client_request_id="c-1"), [2, 1]),
        (UsageFilter(client_request_id="req-3"), []),
    ],
)
async def test_filters_select(
    intake: UsageIntake, usage: UsageReader, selected: UsageFilter, numbers: list[int]
) -> None:
    entries = [
        ended(1, time_ms=1000),
        ended(2, 429, time_ms=2000, endpoint_id="e-2", endpoint_name="other"),
        ended(3, time_ms=3000, requester="carol", request_id="req-3", client_request_id="c-3"),
    ]
    await intake.record(JOURNAL, entries)
    found = await usage.totals(ALICE, selected, [])
    assert [total.sums["requests"] for total in found if total.sums["requests"]] == (
        [len(numbers)] if numbers else []
    )
    assert [row.id for row in await rows(usage, selected)] == [key(one).hex() for one in numbers]


async def test_a_served_entity_is_found_by_its_identifier(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [ended(1), ended(2, config_version=4)])
    [_, first] = await rows(usage)
    found = await rows(usage, UsageFilter(served_entity=first.served_entity_id))
    assert [row.id for row in found] == [key(1).hex()]


async def test_rows_keep_the_tags_of_their_time(
    intake: UsageIntake, usage: UsageReader, endpoints: Endpoints, settings: SettingChanges
) -> None:
    created = await endpoints.create(ALICE, with_model())
    first = [EndpointTag(key="team", value='a"b'), EndpointTag(key="flag")]
    await settings.patch_tags(ALICE, created.name, first, [])
    await intake.record(JOURNAL, [ended(1, endpoint_id=created.id, usage_context={})])
    await settings.patch_tags(ALICE, created.name, [EndpointTag(key="team", value="B")], ["flag"])
    await intake.record(JOURNAL, [ended(2, endpoint_id=created.id, usage_context={})])
    assert [row.tags for row in await rows(usage)] == [{"team": "B"}, {"team": 'a"b', "flag": ""}]
    for tag, numbers in (
        (("team", None), [2, 1]),
        (("team", 'a"b'), [1]),
        (("team", "b"), []),
        (("tea", None), []),
        (("flag", None), [1]),
        (("flag", ""), [1]),
    ):
        found = await rows(usage, UsageFilter(tag=tag))
        assert [row.id for row in found] == [key(number).hex() for number in numbers], tag
    totals = await usage.totals(ALICE, EVERYTHING, ["tag:flag", "tag:team"])
    assert {total.values for total in totals} == {(None, "B"), ("", 'a"b')}


async def test_a_tag_is_the_querys_own_or_else_its_endpoints(
    intake: UsageIntake, usage: UsageReader, endpoints: Endpoints
) -> None:
    tagged = with_model(tags=[{"key": "team", "value": "B"}])
    created = await endpoints.create(ALICE, tagged)
    of: dict[str, Any] = {"endpoint_id": created.id}
    contexts: list[dict[str, str]] = [{"team": "ä 'x"}, {"other": "1"}, {}, {"team": "B"}]
    entries = [ended(at, usage_context=context, **of) for at, context in enumerate(contexts, 1)]
    await intake.record(JOURNAL, [*entries, ended(5, usage_context={}, requester="carol")])
    totals = await usage.totals(ALICE, EVERYTHING, ["tag:team", "requester"])
    assert {total.values: total.sums["requests"] for total in totals} == {
        ("ä 'x", "bob"): 1,
        ("B", "bob"): 3,
        (None, "carol"): 1,
    }
    for tag, numbers in (
        (("team", "B"), [4, 3, 2]),
        (("team", "ä 'x"), [1]),
        (("other", None), [2]),
    ):
        found = await rows(usage, UsageFilter(tag=tag))
        assert [row.id for row in found] == [key(number).hex() for number in numbers], tag
        [total] = await usage.totals(ALICE, UsageFilter(tag=tag), ["day"])
        assert total.sums["requests"] == len(numbers)
    for name in ('tag:a"b', "tag:a\\b", "tag:a\0"):
        with pytest.raises(InvalidParameter, match="key of a tag"):
            await usage.totals(ALICE, EVERYTHING, [name])
    with pytest.raises(InvalidParameter, match="at most 10 names"):
        await usage.totals(ALICE, EVERYTHING, ["day"] * 11)


async def test_the_kind_of_client_is_a_column(intake: UsageIntake, usage: UsageReader) -> None:
    kinds = ("codex", "codex", "claude_code", "")
    await intake.record(JOURNAL, [ended(at, client=kind) for at, kind in enumerate(kinds)])
    totals = await usage.totals(ALICE, EVERYTHING, ["client"])
    assert {total.values[0]: total.sums["requests"] for total in totals} == {
        "": 1,
        "codex": 2,
        "claude_code": 1,
    }
    found = await rows(usage, UsageFilter(client="claude_code"))
    assert [row["client"] for row in build_rows(found, "").rows] == ["claude_code"]


async def test_totals_are_by_what_is_asked_for(intake: UsageIntake, usage: UsageReader) -> None:
    entries = [
        ended(1, time_ms=DAY_MS + 1),
        ended(2, status=429, time_ms=DAY_MS + HOUR_MS),
        ended(3, time_ms=2 * DAY_MS, requester="carol"),
        unknown(4),
        begun(5),
    ]
    await intake.record(JOURNAL, entries)
    [total] = await usage.totals(ALICE, EVERYTHING, ["endpoint"])
    assert total.values == ("chat",)
    assert total.sums == {
        "requests": 5,
        "failed_requests": 1,
        "errors": 0,
        "unknown_requests": 1,
        "input_token_count": 30,
        "output_token_count": 60,
        "cached_token_count": 12,
        "reasoning_token_count": None,
        "input_character_count": 25,
        "output_character_count": 240,
        "latency_ms": 37.5,
    }
    totals = await usage.totals(ALICE, UsageFilter(end_ms=3 * DAY_MS), ["day", "requester"])
    assert [total.values for total in totals] == [(DAY_MS, "bob"), (2 * DAY_MS, "carol")]
    hours = await usage.totals(ALICE, UsageFilter(end_ms=2 * DAY_MS), ["hour"])
    assert [total.values for total in hours] == [(DAY_MS,), (DAY_MS + HOUR_MS,)]


async def test_wrong_questions_are_told_what_to_change(usage: UsageReader) -> None:
    with pytest.raises(InvalidParameter, match="use endpoint, served_entity, provider"):
        await usage.totals(ALICE, EVERYTHING, ["colour"])
    with pytest.raises(InvalidParameter, match="max_results"):
        await usage.queries(ALICE, EVERYTHING, 0, "")
    with pytest.raises(InvalidParameter, match="page_token"):
        await usage.queries(ALICE, EVERYTHING, 1, "1-x")
    with pytest.raises(InvalidParameter, match="NUL"):
        await usage.queries(ALICE, UsageFilter(requester="\0"), 1, "")


async def test_only_administrators_and_those_who_manage_may_read(
    usage: UsageReader, endpoints: Endpoints, database: Database, intake: UsageIntake
) -> None:
    created = await endpoints.create(ALICE, with_model())
    await intake.record(JOURNAL, [ended(1, endpoint_id=created.id), ended(2)])
    with pytest.raises(PermissionDenied):
        await usage.queries(BOB, EVERYTHING, 1, "")
    with pytest.raises(PermissionDenied):
        await usage.totals(BOB, EVERYTHING, ["endpoint"])
    with pytest.raises(PermissionDenied):
        await usage.served_entities(BOB, None, "")
    with pytest.raises(NotFound):
        await usage.narrow(BOB, created.name, EVERYTHING)
    await share(database, created.name, BOB, Level.CAN_QUERY)
    with pytest.raises(PermissionDenied):
        await usage.narrow(BOB, created.name, EVERYTHING)
    await share(database, created.name, BOB, Level.CAN_MANAGE)
    own = await usage.narrow(BOB, created.name, EVERYTHING)
    found, _ = await usage.queries(BOB, own, 10, "")
    assert [row.id for row in found] == [key(1).hex()]


async def test_csv_has_a_header_times_that_can_be_read_and_objects_as_json(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [ended(1, requester='b,"b')])
    header, row, _ = encode_csv(build_rows(await rows(usage), "")).decode().split("\r\n")
    assert header.startswith("account_id,workspace_id,client_request_id,databricks_request_id,")
    assert row.startswith(',0,c-1,req-1,"b,""b",200,2023-11-10T11:58:20.001+00:00,10,20,5,80,')
    assert '"{""team"":""a""}",false,' in row


def test_totals_give_the_average_latency_of_what_has_ended() -> None:
    sums = {"requests": 3, "unknown_requests": 1, "latency_ms": 10.0}
    group = Group([sums.get(name) for name in COUNTS], unpriced=3)
    table = build_totals(["day"], [Total((DAY_MS,), group, None)], percentiles=True)
    assert orjson.loads(encode_json(table)) == {
        "totals": [
            {
                "day": DAY_MS,
                **{name: sums.get(name) for name in COUNTS if name != "latency_ms"},
                "average_latency_ms": 5.0,
                "p50_latency_ms": None,
                "p95_latency_ms": None,
                "cost": None,
                "currency": None,
                "unpriced_requests": 3,
            }
        ]
    }
    assert b"1970-01-02T00:00:00.000+00:00,3,,,1,,,,,,,5.0,,,,,3" in encode_csv(table)


async def test_served_entities_are_told_version_by_version(
    usage: UsageReader, endpoints: Endpoints
) -> None:
    created = await endpoints.create(ALICE, with_model())
    assert created.active
    [version], token = await usage.served_entities(ALICE, None, "")
    assert token == ""
    assert (version.endpoint_name, version.version) == (created.name, created.active.version)
    [row] = build_served_entities([version], "").rows
    assert row["entity_type"] == "EXTERNAL_MODEL"
    assert row["external_model_config"] == {"provider": "openai"}
    assert (row["task"], row["entity_name"]) == ("llm/v1/chat", "gpt-4")
    assert (await usage.served_entities(ALICE, "none", ""))[0] == []


def test_a_hosted_entity_is_told_with_its_task_and_its_size() -> None:
    entity = ServedEntity(name="prod", entity_name="main.ml.iris", workload_type="CPU")
    model = HostedModel(
        served_entity_name="prod",
        description=ModelDescription(task="agent/v1/chat"),
        size=ReplicaSize(concurrency=4),
        scale=ScalePolicy(min_replicas=2, max_replicas=4),
    )

    def told() -> Mapping[str, Any]:
        config = EndpointConfig(served_entities=[entity], config_version=1)
        version = ServedVersion("id", "iris", "alice", 0, config, (model,))
        [row] = build_served_entities([version], "").rows
        return row

    row = told()
    assert (row["entity_type"], row["task"]) == ("CUSTOM_MODEL", "agent/v1/chat")
    sizes = {"min_concurrency": 8, "max_concurrency": 16, "compute_type": "CPU"}
    assert row["custom_model_config"] == sizes
    model.scale.scale_to_zero = True
    assert told()["custom_model_config"]["min_concurrency"] == 0
    entity.provisioned_model_units = 100
    scale = ScalePolicy(throughput_chunk=80, min_throughput=160, max_throughput=160)
    model.scale.CopyFrom(scale)
    row = told()
    assert (row["entity_type"], row["custom_model_config"]) == ("FOUNDATION_MODEL", None)
    assert row["foundation_model_config"] == {
        "min_provisioned_throughput": 160,
        "max_provisioned_throughput": 160,
        "provisioned_model_units": 100,
        "throughput_chunk_size": 80,
        "compute_type": "CPU",
    }


def answered(number: int, *attempts: UsageAttempt) -> UsageEntry:
    """Return a query with these attempts."""
    entry = ended(number)
    del entry.outcome.attempts[:]
    entry.outcome.attempts.extend(attempts)
    return entry


async def test_fallbacks_are_those_for_which_another_entity_was_asked(
    intake: UsageIntake, usage: UsageReader
) -> None:
    first, second = (
        UsageAttempt(served_entity_name=name, latency_ms=1) for name in ("first", "second")
    )
    failed = UsageAttempt(served_entity_name="second", error="Timeout", latency_ms=1)
    entries = [
        answered(1),
        answered(2, second),
        answered(3, failed, second),
        answered(4, failed),
        answered(5, first, second),
        answered(6, failed, failed, first),
    ]
    await intake.record(JOURNAL, entries)
    selected = UsageFilter(fallback_only=True)
    assert [row.id for row in await rows(usage, selected)] == [key(6).hex(), key(5).hex()]
    [total] = await usage.totals(ALICE, selected, ["endpoint"])
    assert total.sums["requests"] == 2


async def test_provider_and_model_are_those_of_the_version_that_served(
    intake: UsageIntake, usage: UsageReader, endpoints: Endpoints
) -> None:
    created = await endpoints.create(ALICE, with_model())
    assert created.active
    [name] = [entity.name for entity in created.active.config.served_entities]
    of: dict[str, Any] = {"endpoint_id": created.id, "config_version": created.active.version}

    def entry(number: int, served: str) -> UsageEntry:
        found = ended(number, **of)
        found.outcome.served_entity_name = served
        return found

    await intake.record(JOURNAL, [entry(1, name), entry(2, "nobody"), ended(3)])
    await endpoints.delete(ALICE, created.name)
    # What is known of a version stays known where it was asked for.
    await intake.record(JOURNAL, [entry(4, name)])
    found = await rows(usage, UsageFilter(provider="openai", model="gpt-4"))
    assert [row.id for row in found] == [key(4).hex(), key(1).hex()]
    assert await rows(usage, UsageFilter(provider="openai", model="gpt-5")) == []
    totals = await usage.totals(ALICE, EVERYTHING, ["provider", "model"])
    assert {total.values: total.sums["requests"] for total in totals} == {
        ("openai", "gpt-4"): 2,
        ("", ""): 2,
    }


async def test_minutes_are_of_a_day_at_most(
    database: Database, intake: UsageIntake, clock: FakeClock
) -> None:
    usage = UsageReader(database, clock)
    now_ms = clock.now_ms
    times = (now_ms - 60_000, now_ms, now_ms + 1, now_ms - 2 * DAY_MS)
    await intake.record(JOURNAL, [ended(at, time_ms=time) for at, time in enumerate(times)])
    since = UsageFilter(start_ms=now_ms - DAY_MS)
    totals = await usage.totals(ALICE, since, ["minute"])
    minute = now_ms // 60_000 * 60_000
    assert {total.values[0]: total.sums["requests"] for total in totals} == {
        minute - 60_000: 1,
        minute: 2,
    }
    long_ago = UsageFilter(start_ms=now_ms - 3 * DAY_MS, end_ms=now_ms - 2 * DAY_MS + 1)
    for wrong in (EVERYTHING, UsageFilter(start_ms=now_ms - DAY_MS - 1), long_ago):
        with pytest.raises(InvalidParameter, match="at most 24 hours; set 'start_time'"):
            await usage.totals(ALICE, wrong, ["minute"])
    [total] = await usage.totals(ALICE, replace(long_ago, start_ms=now_ms - 2 * DAY_MS), ["minute"])
    assert total.sums["requests"] == 1
