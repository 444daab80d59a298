"""Sums up what workers count for each endpoint, and reads it for those who may see the endpoint.

Before: `metrics_servicer` (workers), `servicer` (callers). After: `totals`,
`store.endpoints.metrics`. The sums are in SQL, so each replica adds to the same ones and they
outlive workers and control planes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures
from modelserving.store.v1.hosting_pb2 import ScalePolicy
from modelserving.v1.endpoint_pb2 import RecentCalls
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts

from modelplane.control_plane.access import level_of
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.endpoints.openings import open_steps
from modelplane.control_plane.endpoints.totals import (
    SLOT_MS,
    EngineTotals,
    EntityTotals,
    Recent,
    Refusals,
    Totals,
)
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.metrics import (
    Reporter,
    forget_reporters,
    lock_totals,
    note_reporter,
    read_all_totals,
    read_in_flight,
    read_totals,
    save_totals,
)
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion
from modelplane.control_plane.store.endpoints.series import (
    HOUR_SECONDS,
    Opening,
    forget,
    forget_after,
    save_openings,
)

# Totals that are read without letting others have their turn.
_PAUSE_AFTER = 50
# A worker reports every five seconds while it answers queries.
_GONE_MS = 15_000
# Figures of each replica, by served entity and the replica's identifier.
EntityFigures: TypeAlias = Mapping[str, Mapping[str, EngineFigures]]
# A worker sends a report again sooner than this; one that comes later would count twice.
_FORGET_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class MetricsView:
    """The metrics of one endpoint at one time.

    Attributes:
        endpoint: Name of the endpoint.
        entities: Counts by served entity; those of the active configuration are always there.
        last_minute: Calls of the last minute by served entity.
        in_flight: Queries being answered.
        tokens_per_second: Tokens of the last minute by served entity, for each second.
        provisioned: Scales of the entities whose throughput is provisioned.
        engines: What engines say of themselves, by served entity.
        refusals: Queries that limits refused; see `totals.limit_name`.
        now_ms: The time.
    """

    endpoint: str
    entities: Mapping[str, EntityTotals]
    last_minute: Mapping[str, Recent]
    in_flight: int
    tokens_per_second: Mapping[str, float] = field(default_factory=dict)
    provisioned: Mapping[str, ScalePolicy] = field(default_factory=dict)
    engines: Mapping[str, EngineTotals] = field(default_factory=dict)
    refusals: Mapping[str, Refusals] = field(default_factory=dict)
    now_ms: int = 0


class EndpointMetrics:
    """Keeps the metrics of endpoints."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, reporter_id: str, sequence: int, counts: Sequence[EndpointCounts]) -> None:
        """Add a worker's report, once; what it counted for endpoints that are gone is dropped.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        by_id = {item.endpoint_id: item for item in counts}
        in_flight = {item.endpoint_id: item.in_flight for item in counts if item.in_flight}
        async with self._database.write() as transaction:
            now_ms = self._clock()
            reporter = Reporter(reporter_id, sequence, in_flight, now_ms)
            if not await note_reporter(transaction, reporter):
                return
            if sequence == 1:
                await forget_reporters(transaction, now_ms - _FORGET_MS)
            openings: list[Opening] = []
            stored = {}
            ahead = []
            for endpoint_id, locked in (await lock_totals(transaction, list(by_id))).items():
                totals, report = Totals.parse(locked.text), by_id[endpoint_id]
                if totals.is_ahead(now_ms):
                    ahead.append(endpoint_id)
                totals.admit(report, now_ms)
                live = locked.live_until_ms > now_ms
                openings += open_steps(totals, report, now_ms, live=live)
                totals.add(report, now_ms)
                stored[endpoint_id] = totals.encode()
            await save_totals(transaction, stored)
            await forget_after(transaction, ahead, now_ms + SLOT_MS)
            await save_openings(transaction, openings)
            # Once in an hour in which it is asked, so that no endpoint has more than so many.
            hours = {one.endpoint_id for one in openings if one.step_seconds == HOUR_SECONDS}
            await forget(transaction, hours, now_ms)

    async def note_engines(self, told: Mapping[str, EntityFigures]) -> None:
        """Take what engines say of themselves, by endpoint; what is of none that exists is dropped.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.write() as transaction:
            now_ms = self._clock()
            stored = {}
            for endpoint_id, locked in (await lock_totals(transaction, list(told))).items():
                totals = Totals.parse(locked.text)
                totals.note_engines(told[endpoint_id], now_ms)
                stored[endpoint_id] = totals.encode()
            await save_totals(transaction, stored)

    async def recent(self, endpoint_ids: Sequence[str]) -> dict[str, RecentCalls]:
        """Return the calls of the last minute of each of some endpoints, by identifier.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            now_ms = self._clock()
            totals = await read_all_totals(session, endpoint_ids)
            in_flight = await read_in_flight(session, now_ms, _GONE_MS)
        found = {}
        for number, endpoint_id in enumerate(endpoint_ids):
            found[endpoint_id] = _sum_up(totals.get(endpoint_id, "{}"), now_ms)
            found[endpoint_id].in_flight = in_flight[endpoint_id]
            if number % _PAUSE_AFTER == 0:
                await asyncio.sleep(0)
        return found

    async def read(self, principal: Principal, name: str) -> MetricsView:
        """Return the metrics of an endpoint.

        Raises:
            NotFound: There is none that the principal may see.
        """
        async with self._database.read() as session:
            record = await find_endpoint(session, principal, name)
            now_ms = self._clock()
            totals = Totals.parse(await read_totals(session, record.id))
            in_flight = (await read_in_flight(session, now_ms, _GONE_MS))[record.id]
        served = record.active.config.served_entities if record.active else ()
        entities = {entity.name: EntityTotals() for entity in served} | totals.entities
        return MetricsView(
            record.name,
            entities,
            totals.last_minute(now_ms),
            in_flight,
            totals.tokens_per_second(now_ms),
            _provisioned(record.active),
            totals.engines,
            _told(totals.refusals, principal, record),
            now_ms,
        )


def _sum_up(text: str, now_ms: int) -> RecentCalls:
    minute = Totals.parse(text).last_minute(now_ms).values()
    return RecentCalls(
        requests=sum(one.requests for one in minute),
        client_errors=sum(one.client_errors for one in minute),
        server_errors=sum(one.server_errors for one in minute),
    )


def _told(
    refusals: Mapping[str, Refusals], principal: Principal, record: StoredEndpoint
) -> Mapping[str, Refusals]:
    """Return the refusals that a caller may know of: others are of those who manage alone."""
    if level_of(principal, record.grants) == Level.CAN_MANAGE:
        return refusals
    named = ("", principal.name.casefold())
    return {name: one for name, one in refusals.items() if name.split(" ", 2)[2] in named}


def _provisioned(version: StoredVersion | None) -> dict[str, ScalePolicy]:
    models = version.hosted if version else ()
    return {
        model.served_entity_name: model.scale for model in models if model.scale.throughput_chunk
    }
