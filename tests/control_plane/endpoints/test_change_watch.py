"""Who looks at endpoints is told what changes, and of nothing else."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from modelserving.v1 import change_service_pb2 as pb
from modelserving.v1.endpoint_pb2 import EndpointTag
from prometheus_client import CollectorRegistry

from modelplane.control_plane.endpoints import change_watch
from modelplane.control_plane.endpoints.change_servicer import ChangeServicer
from modelplane.control_plane.endpoints.change_watch import ChangeWatch, News
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import (
    InvalidParameter,
    StoreUnavailable,
    TooManyCalls,
    Unauthenticated,
)
from modelplane.control_plane.principal import Level, Principal, current_principal
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints import change_log, changes, records, rollouts
from modelplane.control_plane.store.states import ChangeKind, Phase
from tests.control_plane.configs import openai_entity
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import BOB, KEY, request
from tests.control_plane.rollouts import FakeRollout

# Longer than any test takes: what answers has something to tell.
LONG = 1_000.0
VIEWER = Principal("77", "vic")


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[ChangeWatch]:
    """Run the watch of one replica."""
    watch = ChangeWatch(database, CollectorRegistry())
    database.on_commit(watch.hint)
    task = asyncio.create_task(watch.run())
    yield watch
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def watch(database: Database) -> AsyncIterator[ChangeWatch]:
    async with watching(database) as one:
        yield one


def told(news: News) -> list[tuple[str, str]]:
    return [(change.kind, change.name) for change in news.changes]


async def waiting(watch: ChangeWatch, call: Coroutine[Any, Any, News]) -> asyncio.Task[News]:
    """Begin a call, and return when it waits."""
    before = watch.waiting
    task = asyncio.create_task(call)
    while watch.waiting == before and not task.done():
        await asyncio.sleep(0)
    return task


def model(name: str) -> dict[str, object]:
    return {"served_entities": [openai_entity(name, **KEY)]}


async def test_each_step_of_an_endpoint_is_told(
    endpoints: Endpoints, settings: SettingChanges, database: Database, watch: ChangeWatch
) -> None:
    revision = (await watch.newest()).revision
    await endpoints.create(ALICE, request("chat", config=model("gpt")))
    async with database.read() as session:
        noted = await change_log.read_changes(session, revision)
    assert [(change.kind, change.config_version, change.phase.name) for change in noted] == [
        ("CREATED", None, "SETTLED"),
        ("UPDATED", 1, "PREPARING"),
        ("UPDATED", 1, "ACTIVATING"),
        ("UPDATED", 1, "SETTLED"),
    ]
    # Whoever asks afterwards is told at once, and of each endpoint how it is.
    news = await watch.watch(ALICE, revision, LONG)
    assert told(news) == [("UPDATED", "chat")]
    changed: list[Coroutine[Any, Any, object]] = [
        settings.patch_tags(ALICE, "chat", [EndpointTag(key="team")], []),
        share(database, "chat", VIEWER, Level.CAN_VIEW),
        endpoints.delete(ALICE, "chat"),
    ]
    for change, kind in zip(changed, ("UPDATED", "UPDATED", "DELETED"), strict=True):
        task = await waiting(watch, watch.watch(ALICE, news.revision, LONG))
        await change
        news = await task
        assert told(news) == [(kind, "chat")]


async def test_a_refused_rollout_and_readiness_are_told(
    endpoints: Endpoints, database: Database, rollout: FakeRollout, watch: ChangeWatch
) -> None:
    rollout.refusal = "no"
    revision = (await watch.newest()).revision
    await endpoints.create(ALICE, request("chat", config=model("gpt")))
    news = await watch.watch(ALICE, revision, LONG)
    assert told(news) == [("UPDATED", "chat")]
    rollout.refusal = ""
    await endpoints.create(ALICE, request("other", config=model("gpt")))
    revision = (await watch.newest()).revision
    async with database.write() as transaction:
        await rollouts.mark_unserved(transaction)
    news = await watch.watch(ALICE, revision, LONG)
    assert told(news) == [("UPDATED", "other")]
    async with database.write() as transaction:
        await rollouts.mark_ready(transaction, 1_000)
    assert told(await watch.watch(ALICE, news.revision, LONG)) == [("UPDATED", "other")]


async def test_nobody_is_told_of_what_it_may_not_see(
    endpoints: Endpoints, database: Database, watch: ChangeWatch
) -> None:
    await endpoints.create(ALICE, request("shown"))
    await endpoints.create(ALICE, request("hidden"))
    await share(database, "shown", VIEWER, Level.CAN_VIEW)
    revision = (await watch.newest()).revision
    task = await waiting(watch, watch.watch(VIEWER, revision, LONG))
    await endpoints.delete(ALICE, "hidden")
    await endpoints.create(BOB, request("hidden"))
    # Of what is taken away it is told, and of what comes after that it is not.
    async with database.write() as transaction:
        record = await records.find(transaction.session, "shown")
        assert record is not None
        await changes.set_grants(transaction, record.id, {ALICE.id: Level.CAN_MANAGE})
    news = await task
    assert told(news) == [("UPDATED", "shown")]
    await endpoints.delete(ALICE, "shown")
    assert told(await watch.watch(VIEWER, news.revision, 0)) == []
    assert told(await watch.watch(ALICE, news.revision, 0)) == [("DELETED", "shown")]


async def test_only_those_that_are_named_are_told(endpoints: Endpoints, watch: ChangeWatch) -> None:
    revision = (await watch.newest()).revision
    task = await waiting(watch, watch.watch(ALICE, revision, LONG, {"named", "absent"}))
    await endpoints.create(ALICE, request("other"))
    await endpoints.create(ALICE, request("named"))
    assert told(await task) == [("CREATED", "named")]


async def test_another_replica_tells_the_same(database: Database, endpoints: Endpoints) -> None:
    async with watching(database) as one:
        revision = (await one.newest()).revision
        await endpoints.create(ALICE, request("chat"))
        assert told(await one.watch(ALICE, revision, LONG)) == [("CREATED", "chat")]
        elsewhere = Database(database.url)
        async with watching(elsewhere) as other:
            assert told(await other.watch(ALICE, revision, LONG)) == [("CREATED", "chat")]
            newest = (await other.newest()).revision
            # It has had no hint of this, and looks by itself.
            task = await waiting(other, other.watch(ALICE, newest, LONG))
            await endpoints.delete(ALICE, "chat")
            assert told(await task) == [("DELETED", "chat")]
        await elsewhere.aclose()


async def test_what_is_too_long_ago_or_too_much_is_to_be_read_anew(
    endpoints: Endpoints, database: Database, watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "KEPT", 3)
    monkeypatch.setattr(change_log, "_CUT_EVERY", 1)
    monkeypatch.setattr(change_watch, "MAX_CHANGES", 2)
    monkeypatch.setattr(change_log, "_FEW", 2)
    before = (await watch.newest()).revision
    for name in "abcd":
        await endpoints.create(ALICE, request(name))
    newest = before + 4
    # A replica that has just started knows what is kept, and no more.
    async with watching(database) as other:
        for one in (watch, other):
            assert await one.watch(ALICE, newest - 3, LONG) == News(newest, reset=True)
            assert told(await one.watch(ALICE, newest - 2, LONG)) == [
                ("CREATED", "c"),
                ("CREATED", "d"),
            ]
            # Of another store.
            assert await one.watch(ALICE, newest + 1, LONG) == News(newest, reset=True)
        assert await other.watch(ALICE, newest - 4, LONG) == News(newest, reset=True)
    async with database.write() as transaction:
        await change_log.note_all(transaction, ["a", "b", "c"])
    assert await watch.watch(ALICE, newest, LONG) == News(newest + 1, reset=True)


async def test_as_many_wait_as_may(watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_watch, "MAX_WAITING_OF_ONE", 2)
    monkeypatch.setattr(change_watch, "MAX_WAITING", 3)
    revision = (await watch.newest()).revision
    tasks = [await waiting(watch, watch.watch(BOB, revision, LONG)) for _ in range(2)]
    with pytest.raises(TooManyCalls, match="2 of your calls wait"):
        await watch.watch(BOB, revision, LONG)
    tasks.append(await waiting(watch, watch.watch(ALICE, revision, LONG)))
    with pytest.raises(TooManyCalls, match="3 calls wait"):
        await watch.watch(VIEWER, revision, LONG)
    # Whoever goes away makes room, and whoever waits at the end is answered.
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    tasks.append(await waiting(watch, watch.watch(VIEWER, revision, LONG)))
    watch.close()
    assert await asyncio.gather(*tasks[1:]) == [News(revision)] * 3
    assert watch.waiting == 0
    # So is whoever comes then.
    assert await watch.watch(BOB, revision, LONG) == News(revision)


async def test_who_waits_is_told_that_the_database_is_away(
    watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = (await watch.newest()).revision
    task = await waiting(watch, watch.watch(ALICE, revision, LONG))

    async def fail(_: object) -> int:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(change_watch, "read_newest", fail)
        watch.hint()
        with pytest.raises(StoreUnavailable):
            await task
        with pytest.raises(StoreUnavailable):
            await watch.newest()
    assert await watch.watch(ALICE, revision, 0) == News(revision)


async def test_nothing_is_read_while_nobody_waits(
    endpoints: Endpoints, watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    async def look(session: Session) -> int:
        looks.append(session)
        return await change_log.read_newest(session)

    monkeypatch.setattr(change_watch, "read_newest", look)
    for name in "abc":
        await endpoints.create(ALICE, request(name))
    await watch.newest()
    assert len(looks) == 1


@dataclass
class _Context:
    """What the servicer reads of a call."""

    metadata: tuple[tuple[str, str], ...] = (("authorization", "Bearer token"),)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata


@dataclass
class _Authenticator:
    principal: Principal | None = VIEWER
    asked: list[str | None] = field(default_factory=list)

    async def authenticate(self, authorization: str | None) -> Principal:
        self.asked.append(authorization)
        if self.principal is None:
            raise Unauthenticated("gone")
        return self.principal


async def test_who_may_see_something_else_by_then_is_told_nothing_but_that(
    endpoints: Endpoints, watch: ChangeWatch, database: Database
) -> None:
    who = _Authenticator()
    servicer = ChangeServicer(watch, who.authenticate)
    current_principal.set(VIEWER)
    context: Any = _Context()
    begin = await servicer.WatchChanges(pb.WatchChangesRequest(), context)
    asked = pb.WatchChangesRequest(after_revision=begin.revision)
    await endpoints.create(ALICE, request("chat", config=model("gpt")))
    await share(database, "chat", VIEWER, Level.CAN_VIEW)
    answer = await servicer.WatchChanges(asked, context)
    [change] = answer.changes
    assert (change.kind, change.name, change.config_version) == ("UPDATED", "chat", 1)
    assert (change.phase, answer.reset) == ("ENDED", False)
    assert change.time > 0
    assert who.asked == ["Bearer token"]
    who.principal = Principal(VIEWER.id, VIEWER.name, group_ids=frozenset({"2", "5"}))
    answer = await servicer.WatchChanges(asked, context)
    assert (list(answer.changes), answer.reset) == ([], True)
    who.principal = None
    with pytest.raises(Unauthenticated):
        await servicer.WatchChanges(asked, context)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"after_revision": ""}, "'after_revision' must be the 'revision' of another answer"),
        ({"after_revision": "-1"}, "'after_revision' must be"),
        ({"after_revision": "9" * 19}, "'after_revision' must be"),
        ({"timeout_seconds": 26}, "'timeout_seconds' must be from 0 to 25"),
        ({"timeout_seconds": -1}, "'timeout_seconds' must be"),
        ({"names": [str(number) for number in range(101)]}, "at most 100 names"),
        ({"names": ["x" * 64]}, "at most 100 names"),
    ],
)
async def test_what_nobody_can_wait_for_is_refused(
    watch: ChangeWatch, asked: dict[str, Any], expected: str
) -> None:
    servicer = ChangeServicer(watch, _Authenticator().authenticate)
    context: Any = _Context()
    with pytest.raises(InvalidParameter, match=expected):
        await servicer.WatchChanges(pb.WatchChangesRequest(**asked), context)


def _changes_of_many_grants() -> list[change_log.Change]:
    """As many changes as are kept, of an endpoint that others than anybody here may see."""
    return [
        change_log.Change(
            number + 1,
            ChangeKind.UPDATED,
            "e",
            "theirs",
            codec.encode_levels({f"{number}-{one}": Level.CAN_VIEW for one in range(100)}),
            1,
            Phase.SETTLED,
            0,
        )
        for number in range(change_log.KEPT)
    ]


async def test_others_have_their_turn_while_many_changes_are_looked_through(
    watch: ChangeWatch,
) -> None:
    watch._changes.extend(_changes_of_many_grants())
    watch._revision = change_log.KEPT
    member = Principal("78", "max", group_ids=frozenset(map(str, range(1_000, 1_100))))
    for caller in (VIEWER, member):
        looking = asyncio.create_task(watch._since(caller, 0, ()))
        turns = 0
        while not looking.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > change_log.KEPT / change_watch._PAUSE_AFTER
        assert await looking == News(change_log.KEPT)


async def test_grants_of_others_are_not_read(
    watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch._changes.extend(_changes_of_many_grants())
    watch._revision = change_log.KEPT
    monkeypatch.setattr(change_watch, "_grants", {}.__getitem__)
    assert await watch._since(VIEWER, 0, ()) == News(change_log.KEPT)


async def test_what_comes_while_changes_are_looked_through_is_told(
    endpoints: Endpoints, watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await endpoints.create(ALICE, request("chat"))
    revision = (await watch.newest()).revision
    since, looked = watch._since, asyncio.Event()

    async def slow(*given: Any) -> News:
        news = await since(*given)
        if not looked.is_set():
            looked.set()
            # As when there was much to look through: meanwhile all are woken.
            await endpoints.create(ALICE, request("other"))
            await watch.newest()
        return news

    monkeypatch.setattr(watch, "_since", slow)
    assert told(await watch.watch(ALICE, revision, LONG)) == [("CREATED", "other")]
