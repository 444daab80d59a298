"""What workers are told of secrets: beside the endpoints, or inside them if a worker is older."""

from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.worker.v1.snapshot_service_pb2 import (
    ConfigDelta,
    Hello,
    SnapshotChunk,
    WatchConfigRequest,
)
from sqlmodel import col, update

from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.secrets.references import revise_users
from modelplane.control_plane.snapshots import cache as cache_module
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, records
from modelplane.control_plane.store.secrets.scopes import insert_scope, put_secret, remove_secret
from modelplane.control_plane.store.secrets.sealed import secret_place
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import EventRow
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot
from tests.control_plane.configs import new_endpoint, new_version, openai_entity, stored_config
from tests.control_plane.snapshots.conftest import PushSide, eventually, settle
from tests.effort import times

SEALER = Sealer(FixedKeys(bytes(32)))


def reference(key: str) -> str:
    return f"{{{{secrets/s/{key}}}}}"


def config(key: str, *, version: int = 1, base: str = "https://a.test") -> EndpointConfig:
    entity = openai_entity(openai_api_key=reference(key), openai_api_base=base)
    return stored_config(entity, version=version)


async def make_scope(database: Database, *keys: str) -> None:
    async with database.write() as transaction:
        await insert_scope(transaction, "s", "alice", 1)
    for key in keys:
        await put(database, key, f"sk-{key}")


async def put(database: Database, key: str, value: str | None) -> int | None:
    name = ("s", key)
    async with database.write() as transaction:
        if value is None:
            await remove_secret(transaction, name)
        else:
            sealed = await SEALER.seal(value.encode(), secret_place(name))
            await put_secret(transaction, name, sealed, 1)
        return await revise_users(transaction, name)


async def serve(database: Database, endpoint_id: str, served: EndpointConfig) -> None:
    """Let an endpoint, which is new or not, serve a configuration."""
    async with database.write() as transaction:
        if served.config_version == 1:
            await changes.insert(transaction, new_endpoint(endpoint_id, endpoint_id))
        await changes.begin_rollout(transaction, endpoint_id, new_version(served))
    await settle(database, endpoint_id)


async def cached(database: Database) -> SnapshotCache:
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(SEALER)))
    await cache.load()
    return cache


def upstream(endpoint_id: str, resolved: EndpointConfig) -> bytes:
    """Return what a worker tells one upstream from another by, its key included."""
    model = resolved.served_entities[0].external_model.SerializeToString(deterministic=True)
    return sha256(endpoint_id.encode() + b"\0" + model).digest()


async def truth(database: Database) -> dict[str, bytes]:
    """Return what each endpoint is to call."""
    async with database.read() as session:
        stored = await records.load_endpoints(session, None)
        configs = [(item.id, item.active.config) for item in stored if item.active]
        resolved = await CredentialResolver(SEALER).resolve_all(session, configs)
    return {
        endpoint_id: upstream(endpoint_id, one)
        for (endpoint_id, _), one in zip(configs, resolved, strict=True)
    }


@dataclass
class Worker:
    """What a worker holds."""

    by_reference: bool = True
    held: Snapshot = field(default_factory=Snapshot)

    def take_all(self, cache: SnapshotCache) -> None:
        builder = SnapshotBuilder(self.held, Random(1), empty=True)
        for chunk in cache.chunks(by_reference=self.by_reference):
            builder.put_endpoints(builder.endpoints_of(chunk))
        self.held = builder.build(cache.revision, cache.store_id)

    def take_one(self, cache: SnapshotCache) -> bool:
        """Take the next message; return False when there is none."""
        changes = cache.changes_since(self.held.revision, by_reference=self.by_reference)
        delta = next(changes, None)
        if delta is None:
            return False
        builder = SnapshotBuilder(self.held, Random(1))
        builder.apply(delta)
        self.held = builder.build(delta.revision, cache.store_id)
        return True

    def catch_up(self, cache: SnapshotCache) -> None:
        while self.take_one(cache):
            pass

    def move(self, cache: SnapshotCache) -> None:
        """Go to a control plane of the release before, or back from it."""
        self.by_reference = not self.by_reference
        if self.by_reference and self.held.secrets.inlined:
            self.take_all(cache)

    def upstreams(self) -> dict[str, bytes]:
        return {
            item.id: item.active.entities[0].upstream
            for item in self.held.endpoints.values()
            if item.active
        }


async def test_a_new_value_is_one_resource_however_many_use_it(database: Database) -> None:
    await make_scope(database, "k", "other")
    for number in range(12):
        await serve(database, f"e{number}", config("k"))
    await serve(database, "apart", config("other"))
    cache = await cached(database)
    worker, before = Worker(), cache.revision
    worker.take_all(cache)
    revision = await put(database, "k", "sk-new")
    await cache.refresh()
    (delta,) = cache.changes_since(before)
    assert [(item.name, item.value) for item in delta.rotated_secrets] == [("s/k", "sk-new")]
    assert not delta.endpoints
    assert delta.revision == cache.revision == revision
    # What was refused of an endpoint before is judged anew.
    assert all(before < cache.changed_at(f"e{number}") <= delta.revision for number in range(12))
    assert cache.changed_at("apart") <= before
    worker.take_one(cache)
    assert worker.upstreams() == await truth(database)


async def test_each_message_has_the_secrets_of_its_endpoints(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_CHUNK_RESOURCES", 2)
    await make_scope(database, "k", "l", "unused")
    cache = await cached(database)
    before = cache.revision
    for number in range(4):
        await serve(database, f"e{number}", config("kl"[number % 2]))
    await cache.refresh()
    parts: list[SnapshotChunk | ConfigDelta] = [*cache.chunks(), *cache.changes_since(before)]
    told = [(len(part.endpoints), {item.name for item in part.secrets}) for part in parts]
    assert [item for item in told if item[0]] == [(2, {"s/k", "s/l"})] * 4
    assert {item.name for part in parts for item in part.secrets} == {"s/k", "s/l"}


async def test_a_secret_that_is_gone_is_told_as_that(database: Database) -> None:
    await make_scope(database, "k")
    await serve(database, "e", config("k"))
    cache = await cached(database)
    before = cache.revision
    await put(database, "k", None)
    await cache.refresh()
    (delta,) = cache.changes_since(before)
    assert [(item.name, item.HasField("value")) for item in delta.rotated_secrets] == [
        ("s/k", False)
    ]


async def test_large_secrets_count_for_the_size_of_a_message(database: Database) -> None:
    size = 100 * 1024
    await make_scope(database)
    for number in range(50):
        await put(database, f"k{number}", "x" * size)
        await serve(database, f"e{number}", config(f"k{number}"))
    cache = await cached(database)
    for by_reference in (True, False):
        parts = list(cache.chunks(by_reference=by_reference))
        assert max(part.ByteSize() for part in parts) < 4.5 * 1024 * 1024
        assert sum(len(part.endpoints) for part in parts) == 50


async def test_an_older_control_plane_tells_of_each_endpoint(database: Database) -> None:
    await make_scope(database, "k")
    for name in ("a", "b"):
        await serve(database, name, config("k"))
    cache = await cached(database)
    worker = Worker()
    worker.take_all(cache)
    await put(database, "k", "sk-new")
    async with database.write() as transaction:
        # It does not know the column.
        await transaction.session.exec(
            update(EventRow).where(col(EventRow.secret).is_not(None)).values(secret=None)
        )
    await cache.refresh()
    worker.catch_up(cache)
    assert worker.upstreams() == await truth(database)


async def test_an_older_worker_is_told_values_inside_its_endpoints(side: PushSide) -> None:
    await make_scope(side.database, "k")
    # Its own seals are with the same key.
    await serve(side.database, "e", config("k"))
    await eventually(lambda: side.cache.changed_at("e") > 0)
    worker = await side.connect("w1")
    await worker.hello()
    (resource,) = [item for part in await worker.snapshot() for item in part.endpoints]
    assert not resource.secret_names
    await put(side.database, "k", "sk-new")
    keys: list[str] = []
    while "sk-new" not in keys:
        delta = (await worker.next()).delta
        assert not any((delta.secrets, delta.rotated_secrets, delta.by_reference))
        keys += [
            config.served_entities[0].external_model.openai_config.openai_api_key_plaintext
            for item in delta.endpoints
            for config in (item.active, item.prepared)
            if config.served_entities
        ]


@pytest.mark.parametrize("holds_values", [False, True])
async def test_a_worker_that_holds_values_starts_over(
    side: PushSide, *, holds_values: bool
) -> None:
    await make_scope(side.database, "k")
    await serve(side.database, "e", config("k"))
    await eventually(lambda: side.cache.changed_at("e") > 0)
    worker = await side.connect("w1")
    at, store = side.cache.revision, side.cache.store_id
    hello = Hello(
        worker_id="w1",
        last_revision=at,
        store_id=store,
        takes_secrets=True,
        holds_values=holds_values,
    )
    await worker.send(WatchConfigRequest(hello=hello))
    await put(side.database, "k", "sk-new")
    message = await worker.next()
    assert message.HasField("snapshot") == holds_values
    if not holds_values:
        assert message.delta.by_reference


class Story:
    """Random changes of a few endpoints and secrets, and all that ever was."""

    def __init__(self, database: Database, random: Random) -> None:
        self.database = database
        self.was: dict[str, set[bytes]] = defaultdict(set)
        self._random = random
        self._versions = dict.fromkeys(("a", "b", "c", "d"), 0)
        self._values = 0

    async def go_on(self) -> None:
        name = self._random.choice(list(self._versions))
        match self._random.randrange(4):
            case 0 | 1:
                self._values += 1
                await put(self.database, self._random.choice("kl"), f"sk-{self._values}")
            case 2:
                self._versions[name] += 1
                base = self._random.choice(("https://a.test", "https://b.test"))
                version = self._versions[name]
                served = config(self._random.choice("kl"), version=version, base=base)
                await serve(self.database, name, served)
            case _ if self._versions[name]:
                async with self.database.write() as transaction:
                    await transaction.revise(EventKind.ENDPOINT, name)
        for endpoint_id, one in (await truth(self.database)).items():
            self.was[endpoint_id].add(one)


@pytest.mark.parametrize("seed", range(times(3, 60)))
async def test_no_worker_ever_has_what_never_was(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # Small messages, so that most of what is told at a time is told in several.
    monkeypatch.setattr(cache_module, "_CHUNK_RESOURCES", 2)
    random = Random(seed)
    await make_scope(database, "k", "l")
    cache = await cached(database)
    story = Story(database, random)
    workers = [Worker(), Worker(by_reference=False), Worker()]
    for worker in workers:
        worker.take_all(cache)
    for _ in range(40):
        await story.go_on()
        if random.random() < 0.4:
            await cache.refresh()
        if random.random() < 0.2:
            workers[2].move(cache)
        for worker in random.sample(workers, 2):
            worker.take_one(cache)
            assert all(one in story.was[name] for name, one in worker.upstreams().items())
    await cache.refresh()
    for worker in workers:
        worker.catch_up(cache)
        assert worker.upstreams() == await truth(database)
