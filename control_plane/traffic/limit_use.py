"""What is used of an endpoint's limits in this minute, for those who may see the endpoint.

Before: `traffic_servicer`. After: `limits.quota`, `store.quota`; what limits refused was told by
the workers (`endpoints.metrics`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.traffic_service_pb2 import LimitInUse, LimitUse

from modelplane.adapters.shared.limit_keys import counter_key
from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.endpoints.totals import Refusals, Totals, limit_name
from modelplane.control_plane.limits.quota import WINDOW_MS, standing
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints.metrics import read_totals
from modelplane.control_plane.store.identity.grantees import find_by_folded_names
from modelplane.control_plane.store.quota import Counter, read_counters

# Kinds of grantees by keys of limits, where the words differ.
_KINDS = {"user_group": "group"}
_REQUESTS, _TOKENS = "requests", "tokens"
_UNITS = {_REQUESTS: "CALLS", _TOKENS: "TOKENS"}


@dataclass(slots=True)
class _Limit:
    """One limit on one unit."""

    key: str
    principal: str
    unit: str
    amount: int

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return limit_name(self.key, self.principal.casefold(), self.unit)


class LimitsInUse:
    """Reads the use of limits."""

    def __init__(self, database: Database, clock: SharedClock) -> None:
        """Read from `database`.

        Args:
            database: Where the counters are.
            clock: Time of the windows.
        """
        self._database = database
        self._clock = clock

    async def read(self, principal: Principal, name: str) -> LimitUse:
        """Return what is used of the limits of an endpoint.

        What others use by limits that name them is told to those who manage the endpoint alone, as
        usage is: who may view it would see, minute by minute, when a colleague works. With figures
        or names alone it would be told as well, since limits can be looked up.

        Raises:
            NotFound: There is none that the principal may see.
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            endpoint = await find_endpoint(session, principal, name)
            limits = list(_limits(endpoint.settings))
            subjects = await _subjects(session, limits, principal)
            if level_of(principal, endpoint.grants) < Level.CAN_MANAGE:
                told = {"", principal.id, *principal.group_ids}
                known = [pair for pair in zip(limits, subjects, strict=True) if pair[1] in told]
                limits, subjects = [one for one, _ in known], [one for _, one in known]
            keys = [
                b"" if subject is None else counter_key(endpoint.id, limit.unit, subject)
                for limit, subject in zip(limits, subjects, strict=True)
            ]
            counters = await read_counters(session, [key for key in keys if key])
            totals = Totals.parse(await read_totals(session, endpoint.id))
            now_ms = await self._clock.now_ms(session)
        window = now_ms // WINDOW_MS
        used = LimitUse(window_end_time=(window + 1) * WINDOW_MS)
        for limit, key in zip(limits, keys, strict=True):
            counter = counters.get(key) or Counter(window)
            used.limits.append(
                LimitInUse(
                    key=limit.key,
                    principal=limit.principal or None,
                    unit=_UNITS[limit.unit],
                    limit=limit.amount,
                    granted=standing(counter, limit.amount, window),
                    refused=totals.refusals.get(limit.name, Refusals()).now(now_ms),
                )
            )
        return used


def _limits(settings: EndpointSettings) -> Iterator[_Limit]:
    """Yield the limits of an endpoint; of two limits on the same the stricter, as it holds."""
    found: dict[str, _Limit] = {}
    for old in settings.rate_limits:
        _add(found, _Limit(old.key or "endpoint", "", _REQUESTS, int(old.calls)))
    for limit in settings.ai_gateway.rate_limits:
        key = limit.key or "endpoint"
        if limit.HasField("calls"):
            _add(found, _Limit(key, limit.principal, _REQUESTS, int(limit.calls)))
        if limit.HasField("tokens"):
            _add(found, _Limit(key, limit.principal, _TOKENS, int(limit.tokens)))
    yield from found.values()


def _add(found: dict[str, _Limit], limit: _Limit) -> None:
    there = found.setdefault(limit.name, limit)
    there.amount = min(there.amount, limit.amount)


async def _subjects(
    session: Session, limits: Sequence[_Limit], caller: Principal
) -> list[str | None]:
    """Return whose use each limit counts; empty: of all; None: whom it names is gone."""
    names = {limit.principal for limit in limits if limit.principal}
    ids = {
        (grantee.kind.value, grantee.name.casefold()): grantee.id
        for grantee in await find_by_folded_names(session, names)
    }
    subjects: list[str | None] = []
    for limit in limits:
        subject: str | None = "" if limit.key == "endpoint" else caller.id
        if limit.principal:
            subject = ids.get((_KINDS.get(limit.key, limit.key), limit.principal.casefold()))
        subjects.append(subject)
    return subjects
