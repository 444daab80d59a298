"""Makes what should run on this machine so: one task for each group, and a look at all processes.

`service.py` brings what should run and takes the reports; `group.py` has one group.
"""

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.counts import Counts
from modelplane.launcher.local import devices, seen
from modelplane.launcher.local.group import Group, Means
from modelplane.launcher.local.tail import Tail
from modelplane.launcher.local.users import Users

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_DISK_TURNS = 10


class LocalLauncher:
    """The groups that run here.

    Attributes:
        changed: Set after each change of what `report` returns; whoever reads it clears it.
        counts: What has become of replicas, and was done for them.
    """

    def __init__(self, means: Means) -> None:
        """Start nothing yet.

        Args:
            means: What groups share.
        """
        self.changed = asyncio.Event()
        self.counts: Counts = means.counts
        self._means = means
        self._groups: dict[str, Group] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, pb.GroupSpec] = {}
        self._processor = devices.read_processor()
        means.budget.on_free = self._settle_all

    def apply(self, specs: Collection[pb.GroupSpec]) -> None:
        """Let these groups run, and end all others."""
        for spec in specs:
            if group := self._groups.get(spec.id):
                group.apply(spec)
            else:
                self._start(spec)
        self._wanted = wanted = {spec.id: spec for spec in specs}
        for identifier, group in self._groups.items():
            if identifier not in wanted:
                group.retire()

    def stand_by(self) -> None:
        """End all: the replicas of another launcher take the requests."""
        self.apply(())

    def report(self) -> pb.Report:
        """Return all that runs, without logs."""
        budget = self._means.budget
        return pb.Report(
            groups=[group.report() for group in self._groups.values()],
            capacity=pb.Capacity(
                memory_bytes=budget.total,
                reserved_memory_bytes=budget.reserved,
                cpus=os.cpu_count() or 1,
                processor=self._processor,
                gpus=len(self._means.devices.all),
                devices=self._means.devices.report(),
                engines=[
                    pb.AvailableEngine(
                        name=name, with_gpus=one.with_gpus, without_gpus=one.without_gpus
                    )
                    for name, one in self._means.preparer.engines.items()
                ],
            ),
        )

    def logs(self) -> "Iterator[tuple[str, pb.LogKind.ValueType, Tail]]":
        """Yield each log with its group and what it is of."""
        for identifier, group in self._groups.items():
            yield identifier, pb.LOG_KIND_BUILD, group.build_log
            yield identifier, pb.LOG_KIND_SERVICE, group.service_log

    async def watch(self) -> None:
        """Look at what replicas use, until cancelled: each second, and less often at disks."""
        for turn in itertools.count():
            await asyncio.sleep(_LOOK_SECONDS)
            replicas = [one for group in self._groups.values() for one in group.replicas]
            if turn % _DISK_TURNS == 0:
                for replica in replicas:
                    await asyncio.to_thread(replica.watch_disk)
            if replicas:
                processes = await asyncio.to_thread(seen.look)
                for replica in replicas:
                    replica.watch_memory(processes)

    async def stop(self, seconds: float) -> None:
        """End all, and give requests that are being answered some time."""
        self.apply(())
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        if late:
            for group in self._groups.values():
                group.hurry()
            await asyncio.wait(late)

    def _start(self, spec: pb.GroupSpec) -> None:
        group = Group(spec, self._means, self.changed.set)
        self._groups[spec.id] = group
        self._tasks[spec.id] = asyncio.create_task(self._run(spec.id, group))

    async def _run(self, identifier: str, group: Group) -> None:
        again: pb.GroupSpec | None = None
        try:
            await group.run()
            # It may be wanted again by the time that its last replica has ended.
            again = self._wanted.get(identifier)
        except Exception as error:  # noqa: BLE001 - a bug here ends one group, not the launcher
            fields = log_fields(group_id=identifier, reason=repr(error))
            _log.error("a group ended by a bug", extra=fields, exc_info=True)
        finally:
            del self._groups[identifier]
            del self._tasks[identifier]
            if again is not None:
                self._start(again)
            self.changed.set()

    def _settle_all(self) -> None:
        for group in self._groups.values():
            group.settle()


class DirectoryTaken(Exception):
    """Another launcher uses the directory."""


@contextlib.contextmanager
def opened(folder: Path, users: Users) -> Iterator[Path]:
    """Hold the directory of a launcher, and yield where replicas get theirs.

    What a launcher that was killed has left is ended and deleted.

    Raises:
        DirectoryTaken: Another launcher holds it.
        OSError: It cannot be made.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryTaken(f"another launcher uses the directory {folder}") from None
        replicas = folder / "replicas"
        _end_leftovers(replicas, users)
        replicas.mkdir(mode=0o711)
        yield replicas
        shutil.rmtree(replicas, ignore_errors=True)


def _end_leftovers(replicas: Path, users: Users) -> None:
    if not replicas.is_dir():
        return
    seen.kill(seen.living_in(replicas))
    users.end_leftovers({entry.stat().st_uid for entry in replicas.iterdir()})
    shutil.rmtree(replicas)
