"""Waits for changes of endpoints, for many who look at once.

The log in the database is read while somebody waits, once for all of them; whoever waits costs a
timer until something changes. Each replica reads the same log, so it does not matter which one is
asked. Before: `change_servicer`. After: `store.endpoints.change_log`.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import CollectorRegistry, Gauge

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.access import level_of
from modelplane.control_plane.clock import Signal, wait_for
from modelplane.control_plane.errors import StoreUnavailable, TooManyCalls
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.change_log import (
    KEPT,
    Change,
    read_changes,
    read_newest,
)
from modelplane.control_plane.store.states import ChangeKind

# Calls that wait, of one caller and in all: fewer than there may be calls.
MAX_WAITING_OF_ONE = 20
MAX_WAITING = 300
# More changes than these are not told one by one: to read anew costs less.
MAX_CHANGES = 200
# Changes that are looked at without letting others have their turn.
_PAUSE_AFTER = 20
# Of so many identifiers each is looked for.
_FEW = 20
# Hints can get lost, so the log is also read after this time.
_LOOK_SECONDS = 1.0
_AWAY = "The database does not answer; please retry."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What has changed.

    Attributes:
        revision: Up to which this tells.
        changes: In order; of an endpoint the last one alone.
        reset: Whether more has changed than can be told.
    """

    revision: int
    changes: tuple[Change, ...] = ()
    reset: bool = False


class ChangeWatch:
    """Tells those who wait."""

    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        """Declare the metric.

        Args:
            database: Where the log is.
            registry: Where the metric goes.
        """
        self._database = database
        # The last changes, as far as they were read, and the newest revision that was read.
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._revision = 0
        self._waiting: Counter[str] = Counter()
        self._hinted = asyncio.Event()
        # Of the look that begins next, for those who must see what was committed before they asked.
        self._next_look: asyncio.Future[bool] | None = None
        self._signal = Signal()
        self._is_away = False
        self._closed = False
        Gauge(
            "modelplane_change_watches",
            "Calls that wait for changes of endpoints.",
            registry=registry,
        ).set_function(lambda: self.waiting)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting.total()

    def hint(self) -> None:
        """Look now, if anybody waits."""
        if self._waiting:
            self._hinted.set()

    def close(self) -> None:
        """Let all who wait go, and nobody wait any more: this process is about to end."""
        self._closed = True
        self._signal.send()

    async def run(self) -> None:
        """Follow the log while somebody waits, until cancelled."""
        while True:
            await wait_for(self._hinted, _LOOK_SECONDS if self._waiting else None)
            self._hinted.clear()
            asked, self._next_look = self._next_look, None
            self._is_away, moved = True, True
            try:
                moved = await self._look()
                self._is_away = False
            except StoreUnavailable as error:
                _log.warning("changes are not known", extra=log_fields(error=str(error)))
            finally:
                if asked is not None:
                    asked.set_result(not self._is_away)
            if moved:
                self._signal.send()

    async def newest(self) -> News:
        """Return the newest revision, from which to go on after everything was read.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        await self._catch_up()
        return News(self._revision)

    async def watch(
        self, principal: Principal, after: int, seconds: float, names: Collection[str] = ()
    ) -> News:
        """Return what changes after a revision, as soon as anything has, or when time is over.

        Args:
            principal: Who asks; it is told of what it may see.
            after: The revision.
            seconds: How long to wait.
            names: Only endpoints of these names; none: all.

        Raises:
            TooManyCalls: This caller, or all together, wait as often as they may.
            StoreUnavailable: The database does not answer.
        """
        with self._place(principal):
            await self._catch_up()
            # Of what comes while the changes are looked through.
            event = self._signal.event
            news = await self._since(principal, after, names)
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            while not (news.changes or news.reset or self._closed):
                if not await wait_for(event, end - loop.time()):
                    break
                if self._is_away:
                    # What has changed is not known, and they are told that.
                    raise StoreUnavailable(_AWAY)
                event = self._signal.event
                news = await self._since(principal, news.revision, names)
            return news

    @contextmanager
    def _place(self, principal: Principal) -> Iterator[None]:
        if self._waiting[principal.id] >= MAX_WAITING_OF_ONE:
            raise TooManyCalls(
                f"{MAX_WAITING_OF_ONE} of your calls wait for changes already; let one end, or "
                "read what you need from time to time."
            )
        if self.waiting >= MAX_WAITING:
            raise TooManyCalls(
                f"{MAX_WAITING} calls wait for changes already; read what you need from time to "
                "time."
            )
        self._waiting[principal.id] += 1
        try:
            yield
        finally:
            self._waiting[principal.id] -= 1
            if not self._waiting[principal.id]:
                del self._waiting[principal.id]

    async def _catch_up(self) -> None:
        """Return once all was read that was committed before; those who ask share a look."""
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().create_future()
            self._hinted.set()
        # It is not this caller's alone: one that goes away does not end it.
        if not await asyncio.shield(self._next_look):
            raise StoreUnavailable(_AWAY)

    async def _look(self) -> bool:
        """Read what is new in the log; return whether anything is."""
        async with self._database.read() as session:
            newest = await read_newest(session)
            if newest == self._revision:
                return False
            if newest < self._revision:
                # A copy of the database was put back.
                self._changes.clear()
            read = await read_changes(session, self._changes[-1].revision if self._changes else 0)
            # The log may have gone on between the two statements.
            self._changes.extend(read)
            self._revision = max([newest, *(change.revision for change in read)])
            return True

    async def _since(self, principal: Principal, after: int, names: Collection[str]) -> News:
        """Return what has changed after a revision, as far as it was read."""
        revision = self._revision
        oldest = self._changes[0].revision if self._changes else revision + 1
        if not oldest - 1 <= after <= revision:
            return News(revision, reset=True)
        found: dict[str, Change] = {}
        for number, change in enumerate(reversed(tuple(self._changes)), 1):
            if change.revision <= after:
                break
            if change.kind is ChangeKind.MANY:
                return News(revision, reset=True)
            if change.endpoint_id not in found and _concerns(principal, names, change):
                found[change.endpoint_id] = change
                if len(found) > MAX_CHANGES:
                    return News(revision, reset=True)
            if number % _PAUSE_AFTER == 0:
                await asyncio.sleep(0)
        return News(revision, tuple(reversed(found.values())))


def _concerns(principal: Principal, names: Collection[str], change: Change) -> bool:
    if names and change.name not in names:
        return False
    grantees = (principal.id, *principal.group_ids)
    # Endpoints may be granted to a thousand, whom it takes thirty times as long to read. As `codec`
    # writes them.
    if len(grantees) <= _FEW and not principal.admin:
        named = (f'"{grantee}":' for grantee in grantees)
        if not any(name in change.grants_json for name in named):
            return False
    return level_of(principal, _grants(change.grants_json)) > Level.NONE


# A change is looked at for all who wait, one after the other.
@lru_cache(maxsize=64)
def _grants(text: str) -> dict[str, Level]:
    return codec.decode_levels(text, Level)
