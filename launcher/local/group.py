"""One group: its model and environment made ready once, and as many replicas as there should be.

`launcher.py` says what should be; `preparation.py` fetches and builds, `replica.py` runs.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.counts import Counts
from modelplane.launcher.local.budget import DoesNotFit, MemoryBudget
from modelplane.launcher.local.deaths import Deaths
from modelplane.launcher.local.devices import Devices, NoDevices
from modelplane.launcher.local.preparation import Preparation, PreparationFailed, Preparer
from modelplane.launcher.local.reach import HERE, Reach
from modelplane.launcher.local.replica import Ended, Outcome, Replica, Served
from modelplane.launcher.local.tail import Tail
from modelplane.launcher.local.users import Users

_log = logging.getLogger(__name__)

# Of these it is known how much is done.
_PREPARED = (pb.GROUP_PROGRESS_FETCHING, pb.GROUP_PROGRESS_CONVERTING)
_LAST_LINES = 12
_LAST_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Means:
    """What all groups of a launcher share.

    Attributes:
        preparer: Fetches models and builds environments.
        server: The script that serves a model.
        folder: Where replicas get directories of their own.
        budget: Memory for replicas.
        users: Users that replicas run as.
        devices: Accelerators for replicas.
        reach: From where replicas can be asked.
        counts: Counts what becomes of them.
    """

    preparer: Preparer
    server: Path
    folder: Path
    budget: MemoryBudget
    users: Users
    devices: Devices = field(default_factory=Devices)
    reach: Reach = HERE
    counts: Counts = field(default_factory=Counts)


class Group:
    """A group that runs, until it is retired and its last replica has ended.

    Attributes:
        spec: What should run.
        build_log: What was said while its model and environment were made ready.
        service_log: What its replicas print.
    """

    def __init__(self, spec: pb.GroupSpec, means: Means, changed: Callable[[], None]) -> None:
        """Start nothing yet.

        Args:
            spec: What should run.
            means: What all groups share.
            changed: Called after each change of what `report` returns.
        """
        self.spec = spec
        self.build_log = Tail()
        self.service_log = Tail()
        self._means = means
        self._changed = changed
        self._wake = asyncio.Event()
        self._preparation: Preparation | None = None
        self._replicas: dict[Replica, asyncio.Task[None]] = {}
        self._failure = ""
        self._refusal = ""
        self._start_ms = 0
        # What a replica was measured to do; None: none was measured.
        self._tokens_per_second: float | None = None
        self._deaths = Deaths()
        self._last_death = ""
        self._is_retired = False

    @property
    def replicas(self) -> list[Replica]:
        """Its replicas, those that start or drain included."""
        return list(self._replicas)

    def apply(self, spec: pb.GroupSpec) -> None:
        """Take what should run from now on; a higher generation lets a failed group try again."""
        if spec == self.spec and not self._is_retired:
            return
        if spec.generation > self.spec.generation and self._failure:
            self._failure = ""
            self._deaths.forget()
        self._is_retired = False
        self.spec = spec
        self.settle()

    def retire(self) -> None:
        """Let its replicas answer what they have, and end."""
        self._is_retired = True
        self.settle()

    def hurry(self) -> None:
        """End its replicas at once."""
        for replica in self._replicas:
            self._stop(replica, hurry=True)

    def settle(self) -> None:
        """Look again at what should run: something has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Run what should run, until the group is retired and its last replica has ended."""
        loop = asyncio.get_running_loop()
        try:
            while not self._is_retired or self._replicas:
                self._wake.clear()
                self._settle(loop.time())
                self._changed()
                pause = self._deaths.not_before - loop.time()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause if pause > 0 else None)
        finally:
            if self._preparation is not None:
                await self._preparation.end()

    def report(self) -> pb.GroupReport:
        """Return what the control plane is told."""
        progress, message = self._progress()
        going = self._preparation if progress in _PREPARED else None
        return pb.GroupReport(
            group_id=self.spec.id,
            generation=self.spec.generation,
            progress=progress,
            message=message,
            replicas=[replica.report() for replica in self._replicas],
            start_ms=self._start_ms,
            tokens_per_second=self._tokens_per_second or 0.0,
            done=going.done if going else 0,
            total=going.total if going else 0,
        )

    def _progress(self) -> "tuple[pb.GroupProgress.ValueType, str]":
        if self._failure:
            return pb.GROUP_PROGRESS_FAILED, self._failure
        ready = sum(replica.phase == pb.REPLICA_PHASE_READY for replica in self._replicas)
        if ready or not self.spec.replicas:
            return pb.GROUP_PROGRESS_READY, self._refusal
        if self._preparation is not None and not self._preparation.is_done:
            return self._preparation.progress, self._preparation.message
        return pb.GROUP_PROGRESS_STARTING, self._refusal or self._last_death

    def _settle(self, now: float) -> None:
        """Start and stop what has to be."""
        if self._failure:
            self.hurry()
            return
        running = [one for one in self._replicas if not one.is_stopping]
        wanted = 0 if self._is_retired else self.spec.replicas
        if wanted and self.spec.engine not in self._means.preparer.engines:
            self._fail(f"This launcher is of a release that has no engine '{self.spec.engine}'.")
            return
        if wanted and not self._is_prepared():
            return
        # Of those that are too many, what cannot be asked yet, then the youngest.
        if self._is_to_be_measured:
            # Alone: others would take their part of the machine.
            wanted = min(wanted, 1)
        running.sort(key=lambda one: (one.phase != pb.REPLICA_PHASE_READY, -one.started))
        for replica in running[: max(0, len(running) - wanted)]:
            self._stop(replica)
        self._refusal = ""
        for _ in range(wanted - len(running)):
            if now < self._deaths.not_before or not self._start():
                return

    @property
    def _is_to_be_measured(self) -> bool:
        return self.spec.calibration_ms > 0 and self._tokens_per_second is None

    def _is_prepared(self) -> bool:
        """Tell whether model and environment are there; if not, see to it."""
        if self._preparation is None:
            self._preparation = self._means.preparer.prepare(
                self.spec, self.build_log, self._on_prepared, self._changed
            )
        return self._preparation.is_done

    def _on_prepared(self, failure: PreparationFailed | None) -> None:
        if failure is not None:
            self._preparation = None
            self._fail(str(failure), self.build_log)
        self.settle()

    def _start(self) -> bool:
        """Start a replica; tell whether it fits."""
        means, spec = self._means, self.spec
        assert self._preparation  # noqa: S101 - it is done, see `_settle`
        try:
            devices = means.devices.take(spec.size)
        except NoDevices as error:
            self._refuse(error)
            return False
        try:
            means.budget.reserve(spec.size.memory_bytes)
        except DoesNotFit as error:
            means.devices.release(devices)
            self._refuse(error)
            return False
        engine = means.preparer.engines[spec.engine]
        calibration = spec.calibration_ms if self._is_to_be_measured else 0
        served = Served(
            self._preparation.result,
            engine,
            means.server,
            spec,
            devices,
            calibration,
            means.reach,
        )
        replica = Replica(
            served, means.folder, means.users, lambda lines: self._print(replica, lines)
        )
        self._replicas[replica] = asyncio.create_task(self._run(replica))
        return True

    def _refuse(self, error: DoesNotFit | NoDevices) -> None:
        """Say that a replica does not fit: for good, where it never did and no room is made."""
        self._refusal = f"There is no room for a replica: {error}."
        if not self._start_ms and not self._replicas and not error.is_soon_there:
            self._fail(self._refusal)

    def _stop(self, replica: Replica, *, hurry: bool = False) -> None:
        if not replica.is_stopping:
            self._means.budget.expect(self.spec.size.memory_bytes)
        replica.stop(hurry=hurry)

    def _print(self, replica: Replica, lines: bytes) -> None:
        mark = f"[{replica.id[:8]}] ".encode()
        self.service_log.write(mark + lines[:-1].replace(b"\n", b"\n" + mark) + b"\n")

    async def _run(self, replica: Replica) -> None:
        size = self.spec.size.memory_bytes
        try:
            ended = await replica.run(lambda: self._on_change(replica))
            self._on_end(replica, ended)
        finally:
            del self._replicas[replica]
            self._means.devices.release(replica.devices)
            self._means.budget.release(size, expected=replica.is_stopping)
            self.settle()

    def _on_change(self, replica: Replica) -> None:
        if replica.phase == pb.REPLICA_PHASE_READY:
            self._start_ms = replica.start_ms
            self._means.counts.note_start(self.spec.engine, replica.start_ms)
            self._deaths.note_ready()
            self._last_death = ""
            if self._is_to_be_measured:
                self._tokens_per_second = replica.tokens_per_second
                self.settle()
        self._changed()

    def _on_end(self, replica: Replica, ended: Ended) -> None:
        self.service_log.line(f"[{replica.id[:8]}] {_in_words(ended)}")
        self._means.counts.ends[self.spec.engine, ended.outcome.name.lower()] += 1
        if ended.outcome is Outcome.STOPPED or self._failure:
            return
        fields = log_fields(group_id=self.spec.id, replica_id=replica.id, reason=ended.reason)
        _log.warning("a replica has ended", extra=fields)
        now = asyncio.get_running_loop().time()
        self._deaths.note(now, now - replica.started, was_asked=ended.was_asked)
        self._last_death = _in_words(ended)
        if self._is_hopeless(ended, now):
            self._fail(_in_words(ended), self.service_log)

    def _is_hopeless(self, ended: Ended, now: float) -> bool:
        if any(replica.phase == pb.REPLICA_PHASE_READY for replica in self._replicas):
            return False
        if ended.outcome is not Outcome.DIED and not self._start_ms:
            return True
        return not ended.was_asked and self._deaths.are_hopeless(now)

    def _fail(self, reason: str, log: Tail | None = None) -> None:
        last = log.last_lines(_LAST_LINES, _LAST_CHARACTERS) if log else ""
        self._failure = f"{reason}\nThe end of its log:\n{last}" if last else reason
        self._means.counts.failures[self.spec.engine] += 1
        fields = log_fields(group_id=self.spec.id, endpoint=self.spec.endpoint_name, reason=reason)
        _log.warning("a group has failed", extra=fields)
        self.settle()


def _in_words(ended: Ended) -> str:
    if ended.outcome is Outcome.STOPPED:
        return "ended as it was told to"
    if ended.outcome is Outcome.DIED:
        return f"The model's process {ended.reason}"
    return ended.reason
