"""The stream of a launcher: it is told what should run, and says what does.

Whoever connects is a launcher: `server.internal_callers` lets in none but those with a certificate.
Before: `pool`. After: the launcher's `service`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping

import grpc
from modelserving.launcher.v1 import launcher_service_pb2_grpc
from modelserving.launcher.v1.launcher_service_pb2 import (
    GROUP_PROGRESS_FAILED,
    Capacity,
    DesiredState,
    GroupLog,
    Hello,
    Report,
    Standby,
    SyncRequest,
    SyncResponse,
)

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.hosting.pool import Desired, Pool

_log = logging.getLogger(__name__)

# A launcher's lease is renewed so often, and one on standby asks for it.
_RENEW_SECONDS = 2.0
_ASK_SECONDS = 0.5
# Logs are stored at most so often.
_LOG_SECONDS = 2.0
# What should run is told in parts of about this size; one group is less than a message may be.
_PART_BYTES = 4 * 1024 * 1024

_Context = grpc.aio.ServicerContext[SyncRequest, SyncResponse]


class LauncherServicer(launcher_service_pb2_grpc.LauncherServiceServicer):
    """Serves `LauncherService` to launchers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sessions: dict[str, _Session] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    @property
    def is_active(self) -> bool:
        """Whether the active launcher is connected here."""
        return any(session.is_active for session in self._sessions.values())

    @property
    def launchers(self) -> int:
        """Number of launchers that are connected here."""
        return len(self._sessions)

    def hint(self) -> None:
        """Look whether what should run has changed."""
        for session in self._sessions.values():
            session.wake()

    async def Sync(
        self, request_iterator: AsyncIterator[SyncRequest], context: _Context
    ) -> AsyncIterator[SyncResponse]:
        """Keep a launcher in step until it leaves or comes again."""
        hello = await self._read_hello(request_iterator, context)
        session = _Session(hello, self._pool)
        if former := self._sessions.pop(hello.launcher_id, None):
            former.drop()
        self._sessions[hello.launcher_id] = session
        fields = {"launcher": hello.launcher_id, "backend": hello.backend, "build": hello.build}
        _log.info("launcher connected", extra=log_fields(**fields))
        reader = asyncio.create_task(session.read(request_iterator))
        # It ends by itself: what is being written is written to its end.
        keeping = asyncio.create_task(self._keep(session, hello.launcher_id))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        try:
            async for response in session.responses():
                yield response
        finally:
            session.drop()
            reader.cancel()
            _log.info("launcher disconnected", extra=log_fields(launcher=hello.launcher_id))
        await context.abort(
            grpc.StatusCode.ABORTED, "The stream was dropped: broken or replaced; reconnect."
        )

    async def aclose(self) -> None:
        """End all streams, and wait until what was said on them is stored."""
        for session in self._sessions.values():
            session.drop()
        await asyncio.gather(*self._keeping)

    async def _keep(self, session: "_Session", launcher_id: str) -> None:
        parts = (session.keep_lease(), session.look(), session.take_in())
        await asyncio.gather(*parts, return_exceptions=True)
        if self._sessions.get(launcher_id) is not session:
            return
        del self._sessions[launcher_id]
        try:
            if session.is_active:
                await self._pool.leave(launcher_id)
        except StoreUnavailable as error:
            _log.warning("the lease ends by itself", extra=log_fields(error=str(error)))

    async def _read_hello(self, requests: AsyncIterator[SyncRequest], context: _Context) -> Hello:
        async for request in requests:
            if not request.HasField("hello") or not request.hello.launcher_id:
                break
            if request.hello.pool != self._pool.name:
                await context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"There is no pool '{request.hello.pool}' here: this deployment's is "
                    f"'{self._pool.name}' (MODELPLANE_LAUNCHER_POOL).",
                )
            return request.hello
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            "The first message must be a Hello with a launcher id.",
        )
        raise AssertionError("abort returned")


class _Session:
    """One launcher's stream."""

    def __init__(self, hello: Hello, pool: Pool) -> None:
        self._hello = hello
        self._pool = pool
        self._clock = asyncio.get_running_loop().time
        # Set when there may be something to tell, or when the stream is to end.
        self._wake = asyncio.Event()
        self._dropped = False
        self._ended = asyncio.Event()
        # The active launcher's identifier; empty: it is not known yet.
        self._active = ""
        # What the launcher is to know, and whether it has changed.
        self._news: Desired | str | None = None
        self._changed = asyncio.Event()
        self.is_active = False
        # What the launcher said last and has not been taken in, and the logs since.
        self._report: Report | None = None
        self._logs: dict[tuple[str, int], GroupLog] = {}
        self._logs_at = self._clock()
        self._reported = asyncio.Event()
        self._capacity: Capacity | None = None

    def drop(self) -> None:
        """End the stream."""
        self._dropped = True
        for event in (self._wake, self._changed, self._reported, self._ended):
            event.set()

    def wake(self) -> None:
        """Look for something to tell."""
        self._wake.set()

    async def read(self, requests: AsyncIterator[SyncRequest]) -> None:
        """Keep the newest of what the launcher says, until it leaves."""
        try:
            async for request in requests:
                if request.HasField("report"):
                    self._report = request.report
                    self._keep_logs(request.report)
                    self._reported.set()
        finally:
            self.drop()

    async def take_in(self) -> None:
        """Store what the active launcher says, until the stream ends."""
        while not self._dropped:
            await wait_for(self._reported, _LOG_SECONDS)
            self._reported.clear()
            if not self.is_active:
                continue
            try:
                # Logs first: once a failure is known, its launcher forgets the group.
                await self._take_logs()
                await self._take_report()
            except StoreUnavailable as error:
                _log.warning("a report waits for the database", extra=log_fields(error=str(error)))
            except Exception:  # a bug must not leave the launcher unheard
                _log.exception("a report was not taken in; the launcher must reconnect")
                self.drop()
                raise

    async def responses(self) -> AsyncIterator[SyncResponse]:
        """Yield what the launcher is to know, until the stream ends."""
        while not self._dropped:
            await self._changed.wait()
            self._changed.clear()
            if self._news is not None and not self._dropped:
                for response in _responses(self._news):
                    yield response

    async def keep_lease(self) -> None:
        """Be the active launcher, or ask to be, until the stream ends.

        Beside `look`, which must not wait for it: somebody may wait for what it tells.
        """
        while not self._dropped:
            seconds = _ASK_SECONDS
            try:
                self._active = await self._pool.claim(self._hello)
            except StoreUnavailable as error:
                fields = log_fields(error=str(error))
                _log.warning("a lease waits for the database", extra=fields)
            except Exception:
                _log.exception("a lease cannot be kept; the launcher must reconnect")
                self.drop()
                raise
            else:
                self.is_active = self._active == self._hello.launcher_id
                if self.is_active:
                    seconds = _RENEW_SECONDS
                    self._reported.set()
                # Whatever no hint has told of is found now.
                self._wake.set()
            await wait_for(self._ended, seconds)

    async def look(self) -> None:
        """Find out what the launcher is to know, at each change, until the stream ends."""
        while not self._dropped:
            await self._wake.wait()
            # Cleared before looking, so that a change in between is not slept through.
            self._wake.clear()
            try:
                news = await self._find_news()
            except StoreUnavailable as error:
                fields = log_fields(error=str(error))
                _log.warning("a launcher waits for the database", extra=fields)
            except Exception:
                _log.exception("what should run is not known; the launcher must reconnect")
                self.drop()
                raise
            else:
                if news != self._news:
                    self._news = news
                    self._changed.set()

    async def _find_news(self) -> Desired | str | None:
        """Return what should run, or the active launcher's identifier where that is another one."""
        if not self.is_active:
            return self._active or None
        known = self._news if isinstance(self._news, Desired) else None
        return await self._pool.desired(known)

    def _keep_logs(self, report: Report) -> None:
        for log in report.logs:
            self._logs[log.group_id, log.kind] = log
        if any(group.progress == GROUP_PROGRESS_FAILED for group in report.groups):
            self._logs_at = self._clock()

    async def _take_report(self) -> None:
        report, self._report = self._report, None
        if report is None:
            return
        try:
            # What was measured was so on this machine.
            if report.HasField("capacity") and report.capacity != self._capacity:
                await self._pool.save_capacity(self._hello.launcher_id, report.capacity)
                self._capacity = report.capacity
            await self._pool.note(report.groups)
        except StoreUnavailable:
            self._report = self._report or report
            raise

    async def _take_logs(self) -> None:
        if not self._logs or self._clock() < self._logs_at:
            return
        self._logs_at = self._clock() + _LOG_SECONDS
        logs: Mapping[tuple[str, int], GroupLog] = self._logs
        self._logs = {}
        try:
            await self._pool.save_logs(list(logs.values()))
        except StoreUnavailable:
            self._logs = {**logs, **self._logs}
            raise


def _responses(news: Desired | str) -> Iterator[SyncResponse]:
    if isinstance(news, str):
        yield SyncResponse(standby=Standby(active_launcher_id=news))
        return
    part, size = DesiredState(), 0
    for spec in news.specs.values():
        # Variables may hold long secrets: all groups together may be too long for a message.
        if size and size + spec.ByteSize() > _PART_BYTES:
            part.continues = True
            yield SyncResponse(desired=part)
            part, size = DesiredState(), 0
        part.groups.append(spec)
        size += spec.ByteSize()
    yield SyncResponse(desired=part)
