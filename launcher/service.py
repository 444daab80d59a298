"""The launcher's line to the control planes: it hears what should run, and says what does.

What runs goes on while no control plane answers. Where another launcher is the pool's active one,
that one's replicas take the requests: those of this one end once they have answered what they have.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator
from random import Random
from typing import TypeAlias

import grpc
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.launcher.v1 import launcher_service_pb2_grpc as pb_grpc

from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.backend import Backend

_log = logging.getLogger(__name__)
_Stream: TypeAlias = "grpc.aio.StreamStreamCall[pb.SyncRequest, pb.SyncResponse]"

_REPORT_SECONDS = 1.0
# What changes at the same time is told at once.
_LEAST_SECONDS = 0.02
_LOG_SECONDS = 2.0
# With so many a message stays well below what a control plane takes.
_MOST_LOGS = 8


class Service:
    """Keeps a launcher in step with the control planes, for as long as it runs."""

    def __init__(
        self, link: ControlLink, hello: pb.Hello, backend: Backend, random: Random
    ) -> None:
        """Ask nothing yet.

        Args:
            link: The way to the control planes.
            hello: Who the launcher is.
            backend: Where replicas run.
            random: Source of chance, for pauses.
        """
        self._link = link
        self._hello = hello
        self._backend = backend
        self._random = random
        self._failures = 0
        self._active = ""
        self._is_stopping = False
        # By group and kind: the version of the log that this control plane was told.
        self._told: dict[tuple[str, int], int] = {}
        self._logs_at = 0.0
        self._is_connected = False
        # How many replicas should run; None: another launcher is the active one, or none is known.
        self._wanted: int | None = None
        # What should run, as far as the control plane has told it.
        self._desired: list[pb.GroupSpec] = []

    @property
    def launcher_id(self) -> str:
        """Identifier of the launcher."""
        return self._hello.launcher_id

    @property
    def is_connected(self) -> bool:
        """Whether a control plane answers."""
        return self._is_connected

    @property
    def is_active(self) -> bool:
        """Whether this launcher's replicas take the requests, as far as it knows."""
        return self._wanted is not None

    @property
    def wanted(self) -> int:
        """How many replicas should run here."""
        return self._wanted or 0

    async def run(self) -> None:
        """Keep in step until cancelled."""
        while True:
            target = self._link.target
            try:
                await self._sync()
                reason = "the stream ended"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except OSError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - what runs outlives any bug here
                # Its text stays out: what is desired holds credentials.
                reason = f"bug: {type(error).__name__}"
            self._failures += 1
            pause = self._link.pause(self._failures, self._random)
            fields = log_fields(target=target, reason=reason, pause_seconds=round(pause, 3))
            _log.warning("the line to the control plane is down", extra=fields)
            await asyncio.sleep(pause)

    async def stop(self, seconds: float) -> None:
        """End all that runs, and start nothing any more.

        Args:
            seconds: Time for requests that are being answered.
        """
        self._is_stopping = True
        await self._backend.stop(seconds)

    async def _sync(self) -> None:
        """Keep in step with one control plane until the stream breaks."""
        async with self._link.stream() as channel:
            stream: _Stream = pb_grpc.LauncherServiceStub(channel).Sync()
            self._told.clear()
            self._desired.clear()
            self._logs_at = 0.0
            reporting = asyncio.create_task(self._report(stream))
            try:
                async for message in stream:
                    self._failures = 0
                    self._is_connected = True
                    self._receive(message)
            finally:
                self._is_connected = False
                reporting.cancel()
                await asyncio.gather(reporting, return_exceptions=True)

    def _receive(self, message: pb.SyncResponse) -> None:
        if self._is_stopping:
            return
        if message.WhichOneof("message") == "desired":
            self._desired.extend(message.desired.groups)
            if message.desired.continues:
                return
            self._note_active("")
            whole, self._desired = self._desired, []
            self._wanted = sum(spec.replicas for spec in whole)
            self._backend.apply(whole)
        else:
            self._note_active(message.standby.active_launcher_id)
            self._wanted = None
            self._backend.stand_by()

    def _note_active(self, other: str) -> None:
        if other != self._active:
            fields = log_fields(active_launcher_id=other or self._hello.launcher_id)
            _log.info("the pool has another active launcher", extra=fields)
            self._active = other

    async def _report(self, stream: _Stream) -> None:
        """Say what runs at each change and each second, until the stream breaks."""
        changed = self._backend.changed
        try:
            await stream.write(pb.SyncRequest(hello=self._hello))
            while True:
                changed.clear()
                if (report := self._backend.report()) is not None:
                    report.logs.extend(self._changed_logs(_failed(report)))
                    await stream.write(pb.SyncRequest(report=report))
                await asyncio.sleep(_LEAST_SECONDS)
                try:
                    await asyncio.wait_for(changed.wait(), _REPORT_SECONDS - _LEAST_SECONDS)
                except TimeoutError:
                    continue
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
            # The stream broke: whoever reads it is told why.
            return

    def _changed_logs(self, failed: Collection[str]) -> Iterator[pb.GroupLog]:
        """Yield logs that have changed since they were told: of groups that have failed at once."""
        now = asyncio.get_running_loop().time()
        is_time = now - self._logs_at >= _LOG_SECONDS
        if not (is_time or failed):
            return
        count = 0
        for identifier, kind, tail in self._backend.logs():
            key = (identifier, kind)
            if self._told.get(key, 0) != tail.version and (is_time or identifier in failed):
                self._told[key] = tail.version
                yield pb.GroupLog(group_id=identifier, kind=kind, text=tail.text())
                count += 1
                if count == _MOST_LOGS:
                    # The rest comes with the next report.
                    return
        if is_time:
            self._logs_at = now


def _failed(report: pb.Report) -> set[str]:
    """Return the groups that have failed: nobody may want them any longer once that is known."""
    return {group.group_id for group in report.groups if group.progress == pb.GROUP_PROGRESS_FAILED}
