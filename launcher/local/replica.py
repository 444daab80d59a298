"""One replica: a process that serves a model, from its start to its end.

`group.py` starts and stops them; `process.py` has the process itself.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from ssl import SSLContext
from typing import Any

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.adapters.shared.tls import pinned
from modelplane.launcher.confined.views import parts_of_python
from modelplane.launcher.engines.base import Engine, Prepared
from modelplane.launcher.local import devices, seen
from modelplane.launcher.local.deaths import read_asked
from modelplane.launcher.local.devices import Device
from modelplane.launcher.local.disk import excess_of
from modelplane.launcher.local.health import Told, until_hanging, until_idle
from modelplane.launcher.local.process import ReplicaProcess, Start, start_process
from modelplane.launcher.local.reach import HERE, Reach, make_certificate
from modelplane.launcher.local.users import NoUserLeft, User, Users
from modelplane.launcher.local.variables import asked_file, unfit_variables, variables_of

# Until no worker sends it requests any more.
_NOTICE_SECONDS = 1.0
_MOST_MESSAGE = 2000
_LAST_PORT = 65535
_CERTIFICATE = "tls.pem"
# Times as long as a calibration should take; see `MOST` of the server's `measuring`.
_LONGEST_CALIBRATION = 5


class Outcome(Enum):
    """How a replica ended."""

    STOPPED = "as it was told to"
    DIED = "by itself, or killed"
    REFUSED = "its model cannot be loaded"
    LATE = "it was not ready in time"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a replica ended, and why in words.

    Attributes:
        outcome: How.
        reason: Why.
        was_asked: Whether it was answering a request, or had just done so.
    """

    outcome: Outcome
    reason: str = ""
    was_asked: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What a replica serves.

    Attributes:
        prepared: The model, made ready.
        engine: What serves it.
        server: The server's script.
        spec: What its group is told to be.
        devices: Accelerators that are its own.
        calibration_ms: How long it is measured what it does, before it takes requests.
        reach: From where it can be asked.
    """

    prepared: Prepared
    engine: Engine
    server: Path
    spec: pb.GroupSpec
    devices: Sequence[Device] = ()
    calibration_ms: int = 0
    reach: Reach = HERE


class Replica:
    """A process that serves a model.

    Attributes:
        id: Identifier, 32 hexadecimal digits.
        phase: Whether it can be asked.
        memory: Bytes that it uses.
        start_ms: How long it took until it was ready; 0: it is not.
        started: When it started, by the loop's clock.
        tokens_per_second: What it was measured to do; 0: it was not.
    """

    def __init__(
        self, served: Served, folder: Path, users: Users, log: Callable[[bytes], None]
    ) -> None:
        """Start nothing yet.

        Args:
            served: What it serves.
            folder: Where it gets a directory of its own.
            users: Users to run as.
            log: Takes the lines that it prints.
        """
        self.id = secrets.token_hex(16)
        self.phase = pb.REPLICA_PHASE_STARTING
        self.memory = 0
        self.start_ms = 0
        self.tokens_per_second = 0.0
        self.started = asyncio.get_running_loop().time()
        self._served = served
        self._directory = folder / self.id
        self._users = users
        self._log = log
        self._address = ""
        self._certificate = b""
        self._token = secrets.token_hex(32)
        self._process: ReplicaProcess | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._killed_for = ""
        # What its engine says of itself.
        self._figures: pb.EngineFigures | None = None

    def report(self) -> pb.ReplicaReport:
        """Return what the control plane is told."""
        return pb.ReplicaReport(
            id=self.id,
            phase=self.phase,
            address=self._address,
            token=self._token,
            memory_bytes=self.memory,
            certificate=self._certificate,
            engine=self._figures,
        )

    @property
    def devices(self) -> Sequence[Device]:
        """Accelerators that are its own until it has ended."""
        return self._served.devices

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def stop(self, *, hurry: bool = False) -> None:
        """End it once it has answered what it has; in a hurry, at once."""
        self._stop.set()
        if self.phase == pb.REPLICA_PHASE_READY:
            self.phase = pb.REPLICA_PHASE_DRAINING
        elif self.phase == pb.REPLICA_PHASE_STARTING:
            # It has nothing to answer.
            hurry = True
        if hurry:
            self._hurry.set()

    def watch_memory(self, processes: list[seen.Seen]) -> None:
        """Note how much it uses, and kill it where that is more than it may.

        Args:
            processes: All of the machine.
        """
        if self._process is None:
            return
        members = self._process.members(processes)
        self.memory = sum(one.memory for one in members)
        limit = self._served.spec.size.memory_bytes
        # Shared pages are counted more than once, so most never need the exact and slow look.
        if not limit or self.memory <= limit:
            return
        self.memory = seen.exact_memory([one.pid for one in members]) or self.memory
        if self.memory > limit:
            self._killed_for = f"killed: out of memory (limit {in_words(limit)})"
            seen.kill([one.pid for one in members])

    def watch_disk(self) -> None:
        """Kill it where it has written more than it may; this looks at all its files."""
        if self._process is not None and (excess := excess_of(self._directory)):
            self._killed_for = f"killed: {excess}"
            seen.kill([one.pid for one in self._process.members(seen.look())])

    async def run(self, on_change: Callable[[], None]) -> Ended:
        """Start it, and return once it has ended, with all that it has started.

        Args:
            on_change: Called when its phase has changed.
        """
        if unfit := unfit_variables(self._served.spec.environment):
            return Ended(Outcome.REFUSED, unfit)
        user: User | None = None
        try:
            user = self._users.take()
            self._make_directory(user)
            number = user.number if user else None
            served = self._served
            python, model = served.prepared.python, served.prepared.model
            own = (served.server.parent, model, *served.prepared.needs)
            needs = (*parts_of_python(python), *own)
            start = Start(
                self._command,
                self._variables(),
                self._directory,
                number,
                (*needs, self._directory),
                temporary=self._directory / "tmp",
                shared_bytes=served.prepared.shared_bytes,
            )
            self._process = await start_process(start, self._log)
            return await self._live(self._process, on_change)
        except (OSError, NoUserLeft) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return Ended(Outcome.DIED, f"could not be started: {reason}")
        finally:
            if self._process is not None:
                await asyncio.shield(self._process.end())
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            if user is not None:
                await asyncio.to_thread(user.release, self._directory)

    async def _live(self, process: ReplicaProcess, on_change: Callable[[], None]) -> Ended:
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            if ended := await self._get_ready(process, stopping):
                return ended
            if not self._stop.is_set():
                self.phase = pb.REPLICA_PHASE_READY
                on_change()
            if ended := await self._serve(process, stopping, on_change):
                return ended
            await self._drain(process)
            return Ended(Outcome.STOPPED)
        finally:
            stopping.cancel()

    async def _serve(
        self,
        process: ReplicaProcess,
        stopping: asyncio.Future[Any],
        on_change: Callable[[], None],
    ) -> Ended | None:
        """Let it serve; return how it ended, or None once it was told to."""
        seconds = self._served.spec.evaluation_deadline_ms / 1000
        told = Told(self._token, self._note_figures)
        hanging = asyncio.ensure_future(until_hanging(self._address, seconds, told, self._tls()))
        waited = (process.exited, stopping, hanging)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                return None
            # Nobody should ask it from now on.
            self.phase = pb.REPLICA_PHASE_DRAINING
            on_change()
            if hanging.done() and not process.exited.done():
                self._killed_for = hanging.result()
            return self._death(await process.end())
        finally:
            hanging.cancel()

    async def _get_ready(
        self, process: ReplicaProcess, stopping: asyncio.Future[Any]
    ) -> Ended | None:
        """Wait until the model is loaded; return how it ended where it is not."""
        served = self._served
        measuring_ms = _LONGEST_CALIBRATION * served.calibration_ms
        seconds = (served.spec.start_deadline_ms + measuring_ms) / 1000
        line = asyncio.ensure_future(process.first_line())
        waited = (line, stopping, process.exited)
        try:
            await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return Ended(Outcome.STOPPED)
            if process.exited.done():
                # It may have said why before.
                await asyncio.wait((line,), timeout=1)
            elif not line.done():
                return Ended(Outcome.LATE, f"The model was not loaded within {seconds:g} s.")
            said = line.result() if line.done() else b""
        finally:
            line.cancel()
        if not said:
            if not process.exited.done():
                await asyncio.wait((process.exited,), timeout=1)
            return self._death(await process.end())
        return self._heed(said)

    def _heed(self, said: bytes) -> Ended | None:
        """Take what the server says when it is ready, or cannot be."""
        try:
            document = json.loads(said)
            if "error" in document:
                return Ended(Outcome.REFUSED, str(document["error"])[:_MOST_MESSAGE])
            port = int(document["port"])
            self.tokens_per_second = float(document.get("tokens_per_second", 0.0))
        except (ValueError, KeyError, TypeError):
            port = 0
        if not 0 < port <= _LAST_PORT:
            return Ended(Outcome.DIED, "said something else than its port")
        self._address = self._served.reach.address(port)
        now = asyncio.get_running_loop().time()
        took_ms = round(1000 * (now - self.started))
        self.start_ms = max(1, took_ms - self._served.calibration_ms)
        return None

    async def _drain(self, process: ReplicaProcess) -> None:
        """Let it answer what it has, for as long as a request may take.

        One that does not end though it has nothing to answer is not waited for.
        """
        seconds = self._served.spec.evaluation_deadline_ms / 1000
        hurried = asyncio.ensure_future(self._hurry.wait())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(hurried), _NOTICE_SECONDS)
        process.ask_to_end()
        idle = asyncio.ensure_future(until_idle(self._address, self._tls()))
        waited = (process.exited, hurried, idle)
        try:
            if not self._hurry.is_set():
                await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
            idle.cancel()

    def _note_figures(self, figures: pb.EngineFigures) -> None:
        self._figures = figures

    def _tls(self) -> SSLContext | None:
        """Return by what it is known, where it is asked from other machines."""
        return pinned(self._certificate) if self._certificate else None

    def _death(self, status: int) -> Ended:
        was_asked = read_asked(asked_file(self._directory))
        return Ended(Outcome.DIED, self._killed_for or describe(status), was_asked)

    def _command(self, ready: int) -> list[str]:
        served = self._served
        return [
            str(served.prepared.python),
            "-I",
            str(served.server),
            *("--model", str(served.prepared.model)),
            *("--host", served.reach.host),
            *("--port", "0"),
            *(("--tls", str(self._directory / _CERTIFICATE)) if self._certificate else ()),
            *("--concurrency", str(served.spec.size.concurrency)),
            *("--evaluation-seconds", f"{served.spec.evaluation_deadline_ms / 1000:g}"),
            *("--ready-fd", str(ready)),
            *self._calibration(),
            *served.engine.options(served.spec),
            *served.prepared.told,
        ]

    def _calibration(self) -> list[str]:
        seconds = self._served.calibration_ms / 1000
        return ["--calibration-seconds", f"{seconds:g}"] if seconds else []

    def _variables(self) -> dict[str, str]:
        served = self._served
        python, spec = served.prepared.python, served.spec
        own = variables_of(spec, python, self._directory, self._token)
        return {**own, **served.engine.variables(spec), **devices.variables(served.devices)}

    def _make_directory(self, user: User | None) -> None:
        for directory in (self._directory, self._directory / "tmp"):
            directory.mkdir(mode=0o700)
            if user is not None:
                os.chown(directory, user.number, user.number)
        if self._served.reach.is_secure:
            owner = user.number if user else None
            self._certificate = make_certificate(self._directory / _CERTIFICATE, self.id, owner)


def describe(status: int) -> str:
    """Return how a process ended, in words."""
    if status == -signal.SIGKILL:
        return "was killed by SIGKILL (perhaps since the machine had no memory left)"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
