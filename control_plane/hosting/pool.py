"""The pool of machines that replicas run on: its active launcher, what should run, and what does.

All control-plane replicas share it by their database. Before: `launcher_servicer`, `scaling`.
After: `reports`, `specs`, `store.hosting`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelserving.launcher.v1 import launcher_service_pb2 as launcher_pb
from modelserving.launcher.v1.launcher_service_pb2 import (
    Capacity,
    GroupLog,
    GroupReport,
    GroupSpec,
    Hello,
)

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.hosting.engine_figures import EngineNotes
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.reports import (
    after_report,
    with_history,
    without_replicas,
)
from modelplane.control_plane.hosting.specs import Specs
from modelplane.control_plane.hosting.worker_view import build_group
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.hosting import groups, launchers, logs
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.hosting.launchers import Claim, StoredLauncher
from modelplane.control_plane.store.states import LogKind

_log = logging.getLogger(__name__)

# A launcher that says nothing for so long is no longer the active one.
LEASE_MS = 10_000
# One whose stream ended may come back within this time: control planes restart, lines break.
_RETURN_MS = 3_000
# What runs on a cluster goes on without its launcher, which may take so long to be started anew.
_OUTLIVED_MS = 120_000
_LOCAL = "local"
_LOG_CHARACTERS = 256 * 1024
_LOG_KINDS = {
    launcher_pb.LOG_KIND_BUILD: LogKind.BUILD,
    launcher_pb.LOG_KIND_SERVICE: LogKind.SERVICE,
}


@dataclass(frozen=True, slots=True)
class Desired:
    """What should run, and the generations that it was read at."""

    generations: Mapping[str, int]
    specs: Mapping[str, GroupSpec]


class Pool:
    """Reads and writes what the launchers of one pool are told and say."""

    def __init__(
        self,
        name: str,
        database: Database,
        specs: Specs,
        measurements: Measurements,
        clock: SharedClock,
        engines: EngineNotes,
    ) -> None:
        self.name = name
        self._database = database
        self._specs = specs
        self._measurements = measurements
        # Groups whose measurement is stored.
        self._measured: set[str] = set()
        self._clock = clock
        self._engines = engines

    async def claim(self, hello: Hello) -> str:
        """Make a launcher the active one unless another one is; return the active one's identifier.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.write() as transaction:
            now_ms = await self._clock.now_ms(transaction.session)
            wanted = Claim(self.name, hello.launcher_id, hello.backend, now_ms + LEASE_MS)
            return await launchers.claim(transaction, wanted, now_ms)

    async def leave(self, launcher_id: str) -> None:
        """Let another launcher follow soon, unless this one comes back.

        Raises:
            StoreUnavailable: The database does not answer; its lease will end by itself.
        """
        async with self._database.write() as transaction:
            until_ms = await self._clock.now_ms(transaction.session) + _RETURN_MS
            await launchers.shorten(transaction, self.name, launcher_id, until_ms)

    async def desired(self, known: Desired | None) -> Desired:
        """Return what should run; it is `known` itself where that is what should.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            generations = await groups.read_generations(session)
            if known and generations == known.generations:
                return known
            old = known.generations if known else {}
            changed = [key for key, value in generations.items() if old.get(key) != value]
            specs = await self._specs.load(session, changed)
        kept = known.specs if known else {}
        return Desired(
            generations,
            {
                key: specs.get(key) or kept[key]
                for key in generations
                if key in specs or key in kept
            },
        )

    async def note(self, reports: Sequence[GroupReport]) -> None:
        """Take in a whole report of the active launcher.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        told = {report.group_id: report for report in reports}
        async with self._database.read() as session:
            current = await groups.load(session, None)
        changed = [group.id for group in current if _seen(group, told) != group]
        if changed:
            async with self._database.write() as transaction:
                await self._change(transaction, changed, told)
        await self._note_measured(current, told)
        await self._engines.note(current, told)

    async def note_loss(self) -> None:
        """Take all replicas out if no launcher is active.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            launcher = await launchers.read_launcher(session, self.name)
            if launcher is None or not _is_lost(launcher, await self._clock.now_ms(session)):
                return
            current = await groups.load(session, None)
        lost = [group.id for group in current if without_replicas(group) != group]
        if not lost:
            return
        async with self._database.write() as transaction:
            launcher = await launchers.read_launcher(transaction.session, self.name, lock=True)
            now_ms = await self._clock.now_ms(transaction.session)
            if launcher is None or not _is_lost(launcher, now_ms):
                return
            await self._change(transaction, lost, {})
        fields = log_fields(pool=self.name, groups=len(lost))
        _log.warning("no launcher: what it ran counts as gone", extra=fields)

    async def save_capacity(self, launcher_id: str, capacity: Capacity) -> None:
        """Store what replicas may use.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.write() as transaction:
            await launchers.save_capacity(transaction, self.name, launcher_id, capacity)

    async def save_logs(self, told: Sequence[GroupLog]) -> None:
        """Store the ends of logs.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        texts = {
            (log.group_id, _LOG_KINDS[log.kind]): log.text[-_LOG_CHARACTERS:]
            for log in told
            if log.kind in _LOG_KINDS
        }
        async with self._database.write() as transaction:
            now_ms = await self._clock.now_ms(transaction.session)
            await logs.save_logs(transaction, texts, now_ms)

    async def _note_measured(
        self, current: Sequence[StoredGroup], told: Mapping[str, GroupReport]
    ) -> None:
        self._measured &= {group.id for group in current}
        new = [
            (group, rate)
            for group in current
            if group.id not in self._measured
            and (rate := told.get(group.id, GroupReport()).tokens_per_second)
        ]
        if not new:
            return
        async with self._database.write() as transaction:
            await self._measurements.save(transaction, [(group.model, rate) for group, rate in new])
        for group, rate in new:
            self._measured.add(group.id)
            fields = {"group": group.id, "entity": group.served_entity_name}
            _log.info("group measured", extra=log_fields(**fields, tokens_per_second=rate))

    async def _change(
        self, transaction: Transaction, ids: Sequence[str], told: Mapping[str, GroupReport]
    ) -> None:
        """Write what a report makes of groups, which others may have changed since."""
        locked = await groups.lock(transaction, ids)
        now_ms = await self._clock.now_ms(transaction.session)
        seen = [
            (old, with_history(old, _seen(old, told), told.get(old.id, GroupReport()), now_ms))
            for old in locked
        ]
        await groups.save(transaction, [new for old, new in seen if new != old])
        for old, new in seen:
            if new.phase is not old.phase:
                fields = {"group": new.id, "entity": new.served_entity_name, "phase": new.phase}
                _log.info("group changed", extra=log_fields(**fields, reason=new.message))
        # How far a start has come is for those who look: it moves nobody.
        moved = [
            new
            for old, new in seen
            if new.phase is not old.phase or build_group(new) != build_group(old)
        ]
        await groups.tell(transaction, moved)
        await groups.note_shown(transaction, seen)


def _is_lost(launcher: StoredLauncher, now_ms: int) -> bool:
    """Tell whether what a launcher ran is gone with it."""
    patience = 0 if launcher.backend == _LOCAL else _OUTLIVED_MS
    return launcher.lease_until_ms + patience <= now_ms


def _seen(group: StoredGroup, told: Mapping[str, GroupReport]) -> StoredGroup:
    report = told.get(group.id)
    return after_report(group, report) if report is not None else without_replicas(group)
