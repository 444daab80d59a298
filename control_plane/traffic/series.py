"""The course of an endpoint's traffic, for those who may see the endpoint.

Before: `traffic_servicer`. After: `points`, `store.endpoints.series`. What is read was written with
the reports of workers (`endpoints.metrics`), so that each replica reads the same.
"""

from collections.abc import Sequence
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
from modelplane.control_plane.store.endpoints.series import KEPT_MS, LIVE_SECONDS, Recorded
from modelplane.control_plane.traffic.points import build_entity

# Endpoints that one replica has recorded in steps of five seconds at a time; each takes a row in
# five seconds for each entity that is asked.
_MOST_LOOKED_AT = 500
# Year 5138, which no clock shows.
_LAST_MS = 1e14


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
        for name, value in (("start_time", self.start_ms), ("end_time", self.end_ms)):
            if value is not None and not 0 <= value < _LAST_MS:
                raise InvalidParameter(f"{name}: must be milliseconds since the epoch.")
        if None not in (self.start_ms, self.end_ms) and self.start_ms >= self.end_ms:  # type: ignore[operator]
            raise InvalidParameter("start_time: must be before end_time.")


class Series:
    """Reads courses."""

    def __init__(
        self, database: Database, clock: Clock, most_looked_at: int = _MOST_LOOKED_AT
    ) -> None:
        self._database = database
        self._clock = clock
        self._most_looked_at = most_looked_at
        # Until when endpoints are recorded in steps of five seconds, of those asked for here.
        self._looked_at: dict[str, int] = {}

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
            await self._look(endpoint.id, now_ms)
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
        for entity in _entities(endpoint, recorded, steps):
            own = [one for one in recorded.openings if one.entity == entity]
            built.entities.append(build_entity(entity, own, count_up(totals, entity), steps))
        return built

    async def _look(self, endpoint_id: str, now_ms: int) -> None:
        """Have steps of five seconds recorded for a while."""
        self._looked_at = {key: end for key, end in self._looked_at.items() if end > now_ms}
        if endpoint_id not in self._looked_at and len(self._looked_at) >= self._most_looked_at:
            raise TooManyCalls(
                f"{self._most_looked_at} endpoints are looked at in steps of five seconds already; "
                "ask with step_seconds=60, or again in some minutes."
            )
        async with self._database.write() as transaction:
            await series.look(transaction, endpoint_id, now_ms)
        self._looked_at[endpoint_id] = now_ms + series.LIVE_KEPT_MS


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


def _entities(endpoint: StoredEndpoint, recorded: Recorded, steps: range) -> Sequence[str]:
    served = (
        [entity.name for entity in endpoint.active.config.served_entities]
        if endpoint.active
        else []
    )
    asked = {one.entity for one in recorded.openings if one.step in steps}
    return [*served, *sorted(asked.difference(served))]
