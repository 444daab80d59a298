"""Measures how the control plane's work grows with what is stored: on SQLite, in one process.

CPU time, of the statements and of what is made of them. The watch streams are `control_plane`'s.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigResponse

from bench import rotation
from bench.processes import memory_mib
from bench.report import Row, Table, table_of
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.limits.quota import Demand, Quota
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.encoding import Encodings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity import groups
from modelplane.control_plane.store.identity.principals import Page, list_principals
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.usage.reader import UsageReader
from modelplane.control_plane.usage.totals import UsageTotals
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot

_DAY_MS = 86_400_000
_DAYS = 30
_ORIGINS, _ENDPOINTS, _REQUESTERS = 2_000, 100, 500
_ADMIN = Principal("1", "admin", admin=True)
_REPORTS: Sequence[tuple[str, Sequence[str]]] = (
    ("by endpoint and day", ("endpoint", "day")),
    ("by requester", ("requester",)),
    ("by hour", ("hour",)),
    ("by endpoint and requester", ("endpoint", "requester")),
)


async def measure(*, queries: int, users: int, members: int, endpoints: int) -> Table:
    """Return what reports, leases, changes of groups and new values of secrets cost.

    Args:
        queries: Rows of usage, in 30 days.
        users: Users.
        members: Users that are added to a group at once.
        endpoints: Endpoints with one secret.
    """
    rows = [*await _measure_leases(), *await _measure_group(users, members)]
    async with _database() as (database, path):
        rows += await rotation.measure(database, path, endpoints)
    rows += [*await _measure_users(users), *await _measure_usage(queries)]
    return table_of("Control plane, by what is stored", rows)


@asynccontextmanager
async def _database() -> AsyncIterator[tuple[Database, Path]]:
    with TemporaryDirectory(prefix="modelplane-bench-") as directory:
        path = Path(directory) / "bench.db"
        async with aclosing(Database(f"sqlite:///{path}")) as database:
            await migrate(database)
            yield database, path


async def _cost(action: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU milliseconds that something takes."""
    started = time.process_time()
    await action()
    return 1e3 * (time.process_time() - started)


async def _measure_leases() -> list[Row]:
    rows = []
    async with _database() as (database, _):
        quota = Quota(database, SharedClock(system_clock))
        for size in (1, 15, 100, 1_000):
            calls = max(5, 1_000 // size)
            demands = [
                [Demand(secrets.token_bytes(16), 1_000, needed=1, wanted=1) for _ in range(size)]
                for _ in range(calls)
            ]

            async def lease(demands: Sequence[Sequence[Demand]] = demands) -> None:
                for part in demands:
                    await quota.lease("bench", part)

            cost = await _cost(lease)
            label = f"lease of a new counter, {size:,} in a call"
            rows.append(Row(label, 1e3 * cost / calls / size, "µs CPU", "below 100"))
    return rows


async def _measure_group(users: int, members: int) -> list[Row]:
    async with _database() as (database, path):
        _fill_users(path, users)
        cache = SnapshotCache(database, _resources())
        await cache.load()
        ids = [str(number) for number in range(members)]

        async def change() -> None:
            async with database.write() as transaction:
                await groups.add_members(transaction, "group-0", ids)
                await groups.revise_members(transaction, ids)

        async def follow() -> None:
            revision, encodings = cache.revision, Encodings(cache)
            await cache.refresh()
            while delta := encodings.delta_after(revision):
                revision = delta.revision

        async def list_groups() -> None:
            async with database.read() as session:
                await groups.list_groups(session, Page(offset=1, limit=2))

        async def list_users() -> None:
            async with database.read() as session:
                await list_principals(session, PrincipalKind.USER, Page(offset=1, limit=10))

        size = f"{members:,} of {users:,} users"
        return [
            Row(f"{size} join a group: stored", await _cost(change) / members, "ms CPU each"),
            Row(f"{size} join a group: pushed", await _cost(follow) / members, "ms CPU each"),
            Row(f"page of 2 groups, {users:,} users", await _cost(list_groups), "ms CPU"),
            Row(f"page of 10 users, {users:,} users", await _cost(list_users), "ms CPU"),
        ]


def _fill_users(path: Path, users: int) -> None:
    """Store users, each with a token, and three groups."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO principal(id, kind, name, display_name, active, created_ms,"
            " tokens_valid_from_ms) VALUES (?, ?, ?, '', 1, 1, 0)",
            (
                (str(number), PrincipalKind.USER.value, f"user-{number}@example.com")
                for number in range(users)
            ),
        )
        connection.executemany(
            "INSERT INTO access_token(id, digest, principal_id, comment, created_ms)"
            " VALUES (?, ?, ?, '', 1)",
            ((str(number), secrets.token_bytes(32), str(number)) for number in range(users)),
        )
        connection.executemany(
            "INSERT INTO principal_group(id, name, created_ms) VALUES (?, ?, 1)",
            ((f"group-{number}", f"group-{number}") for number in range(3)),
        )


def _resources() -> ResourceBuilder:
    return ResourceBuilder(CredentialResolver(Sealer(FixedKeys(bytes(32)))))


async def _measure_users(users: int) -> list[Row]:
    """Return what one user with a token takes, of a control plane and of each worker."""
    async with _database() as (database, path):
        _fill_users(path, users)
        held = [memory_mib(os.getpid())]
        cache = SnapshotCache(database, _resources())
        loading = await _cost(cache.load)
        held.append(memory_mib(os.getpid()))
        parts = [part.data for part in Encodings(cache).snapshot()]
        held.append(memory_mib(os.getpid()))
        builder = SnapshotBuilder(Snapshot(), Random(1), empty=True)

        async def take() -> None:
            for part in parts:
                builder.put_callers(WatchConfigResponse.FromString(part).snapshot)
            builder.build(1, "")

        taking = await _cost(take)
        held.append(memory_mib(os.getpid()))
        label, size = f"each of {users:,} users with a token", 1024 / users
        return [
            Row(f"{label}: control plane starts", 1e3 * loading / users, "µs CPU"),
            Row(f"{label}: control plane holds", (held[1] - held[0]) * size, "kB"),
            Row(f"{label}: sent to each worker", sum(map(len, parts)) / users, "bytes"),
            Row(f"{label}: worker starts", 1e3 * taking / users, "µs CPU"),
            Row(f"{label}: worker holds", (held[3] - held[2]) * size, "kB"),
        ]


async def _measure_usage(queries: int) -> list[Row]:
    async with _database() as (database, path):
        _fill(path, queries, system_clock())
        reader = UsageReader(database)
        totals = UsageTotals(database, system_clock, retention_days=90)

        async def report(told: str, times: int = 1) -> list[Row]:
            rows = []
            for name, group_by in _REPORTS:
                ask = partial(reader.totals, _ADMIN, UsageFilter(), group_by)
                cost = min([await _cost(ask) for _ in range(times)])
                rows.append(Row(f"report {name}, {queries:,} queries, {told}", cost, "ms CPU"))
            return rows

        rows = await report("query by query")

        async def sum_up() -> None:
            for _ in range(3):
                await totals.make()

        rows.append(Row("sum it up, once", await _cost(sum_up) / queries * 1e3, "µs CPU a query"))
        # The first of a process also makes its statements.
        return rows + await report("from totals", times=3)


def _fill(path: Path, queries: int, now_ms: int) -> None:
    """Store usage of 30 days, evenly."""
    random = Random(1)
    origins = [
        (secrets.token_bytes(16), random.randrange(_ENDPOINTS), random.randrange(_REQUESTERS))
        for _ in range(_ORIGINS)
    ]

    def rows() -> Any:  # noqa: ANN401 - many columns
        for number in range(queries):
            origin, endpoint, _ = random.choice(origins)
            at = now_ms - random.randrange(_DAYS * _DAY_MS)
            status = random.choice((200, 200, 200, 200, 429))
            yield f"{number:032x}", origin, f"e-{endpoint}", at, status

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO usage_origin(id, stored_ms, endpoint_id, endpoint_name, tags_json,"
            " config_version, served_entity_id, served_entity_name, task, requester_id, requester,"
            " client) VALUES (?, ?, 'e-' || ?, 'endpoint-' || ?, '[]', 1, '', 'gpt', 'llm/v1/chat',"
            " ?, 'user-' || ?, '')",
            [
                (origin, now_ms // _DAY_MS * _DAY_MS, endpoint, endpoint, str(user), user)
                for origin, endpoint, user in origins
            ],
        )
        connection.executemany(
            "INSERT INTO usage_query(id, origin_id, endpoint_id, time_ms, state, request_id,"
            " client_request_id, usage_context_json, streaming, input_characters, status_code,"
            " error, input_tokens, output_tokens, estimated, output_characters, latency_ms,"
            " attempts_json, guardrail_action, guardrail_json)"
            " VALUES (?, ?, ?, ?, 'ENDED', '', '', '{}', 0, 100, ?, '', 10, 20, 0, 80, 12.5, '[]',"
            " '', '{}')",
            rows(),
        )
