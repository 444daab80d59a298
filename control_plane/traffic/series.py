"""The course of an endpoint's traffic, for those who may see the endpoint.

Before: `traffic_servicer`. After: `points`, `store.endpoints.series`. What is read was written with
the reports of workers (`endpoints.metrics`), so that each replica reads the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelserving.v1.traffic_service_pb2 import EndpointSeries, SeriesVersion

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.endpoints.openings import count_up
from modelplane.control_plane.endpoints.totals import Totals
from modelplane.control_plane.errors import InvalidParameter, TooManyCalls
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import series
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.endpoints.series import KEPT_MS, LIVE_SECONDS, Opening, Recorded
from modelplane.control_plane.time_span import check_time_span
from modelplane.control_plane.traffic.points import build_entity

# Endpoints that one replica has recorded in steps of five seconds at a time, in all and for one
# caller; each takes a row in five seconds for each entity that is asked.
MOST_LOOKED_AT = 500
MOST_LOOKED_AT_BY_ONE = 50
# Served entities that an answer tells of.
MAX_TOLD = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to see.

    Attributes:
        step_seconds: Length of a step.
        start_ms: From when on; None: as far back as is kept.
        end_ms: Until when; None: now.
    """

    step_seconds: int
    start_ms: float | None = None
    end_ms: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidParameter: One cannot be.
        """
        if self.step_seconds not in KEPT_MS:
            raise InvalidParameter("step_seconds: must be 5, 60 or 3600.")
        check_time_span(self.start_ms, self.end_ms)


class Series:
    """Reads courses."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        most_looked_at: int = MOST_LOOKED_AT,
        most_by_one: int = MOST_LOOKED_AT_BY_ONE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._most_looked_at = most_looked_at
        self._most_by_one = most_by_one
        # Until when endpoints are recorded in steps of five seconds, of those asked for here, and
        # who asked first.
        self._looked_at: dict[str, tuple[int, str]] = {}

    async def read(self, principal: Principal, name: str, wanted: Wanted) -> EndpointSeries:
        """Return what the served entities of an endpoint did.

        Raises:
            NotFound: There is none that the principal may see.
            TooManyCalls: Too many endpoints are recorded in steps of five seconds.
            StoreUnavailable: The database does not answer.
        """
        now_ms = self._clock()
        step_ms = wanted.step_seconds * 1000
        start_ms = max(wanted.start_ms or 0, now_ms - KEPT_MS[wanted.step_seconds])
        async with self._database.read() as session:
            endpoint = await find_endpoint(session, principal, name)
            first = int(start_ms) // step_ms
            recorded = await series.read(session, endpoint.id, wanted.step_seconds, first)
            activations = await series.read_activations(session, endpoint.id, first * step_ms)
        if wanted.step_seconds == LIVE_SECONDS and not recorded.is_looked_at(now_ms):
            await self._look(principal, endpoint.id, now_ms)
        first = max(first, _known_from(endpoint, recorded, wanted.step_seconds, now_ms))
        end_ms = now_ms if wanted.end_ms is None else min(now_ms, int(wanted.end_ms))
        steps = range(first, -(-end_ms // step_ms))
        built = EndpointSeries(
            step_seconds=wanted.step_seconds,
            times=[step * step_ms for step in steps],
            versions=[
                SeriesVersion(time=time_ms, config_version=version)
                for time_ms, version in activations
                if first * step_ms <= time_ms <= end_ms
            ],
        )
        totals = Totals.parse(recorded.totals)
        for entity, own in _entities(endpoint, recorded, steps).items():
            built.entities.append(build_entity(entity, own, count_up(totals, entity), steps))
        return built

    async def _look(self, principal: Principal, endpoint_id: str, now_ms: int) -> None:
        """Have steps of five seconds recorded for a while."""
        self._looked_at = {key: one for key, one in self._looked_at.items() if one[0] > now_ms}
        _, first = self._looked_at.get(endpoint_id, (0, principal.id))
        if endpoint_id not in self._looked_at:
            self._check_room(principal)
        async with self._database.write() as transaction:
            await series.look(transaction, endpoint_id, now_ms)
        self._looked_at[endpoint_id] = now_ms + series.LIVE_KEPT_MS, first

    def _check_room(self, principal: Principal) -> None:
        later = "ask with step_seconds=60, or again in some minutes."
        by_one = sum(asked_by == principal.id for _, asked_by in self._looked_at.values())
        if by_one >= self._most_by_one:
            raise TooManyCalls(
                f"You look at {by_one} endpoints in steps of five seconds already; {later}"
            )
        if len(self._looked_at) >= self._most_looked_at:
            raise TooManyCalls(
                f"{self._most_looked_at} endpoints are looked at in steps of five seconds already; "
                f"{later}"
            )


def _known_from(
    endpoint: StoredEndpoint, recorded: Recorded, step_seconds: int, now_ms: int
) -> int:
    """Return the first step of which all is known."""
    step_ms = step_seconds * 1000
    since_ms = recorded.from_ms
    if step_seconds == LIVE_SECONDS:
        since_ms = recorded.live_from_ms if recorded.live_until_ms > now_ms else now_ms
    # Before it was made, there was nothing to record.
    return max(-(-since_ms // step_ms), endpoint.created_ms // step_ms)


def _entities(
    endpoint: StoredEndpoint, recorded: Recorded, steps: range
) -> Mapping[str, Sequence[Opening]]:
    """Return the openings of those that serve, and of the others that were asked last."""
    active = endpoint.active.config.served_entities if endpoint.active else ()
    openings: dict[str, list[Opening]] = {entity.name: [] for entity in active}
    served, last = list(openings), dict[str, int]()
    for one in recorded.openings:
        openings.setdefault(one.entity, []).append(one)
        if one.step in steps:
            last[one.entity] = one.step
    others = sorted(last.keys() - set(served), key=lambda name: (-last[name], name))
    told = [*served, *sorted(others[: MAX_TOLD - len(served)])]
    return {name: openings[name] for name in told}
