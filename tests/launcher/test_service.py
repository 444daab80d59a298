"""A launcher and control planes over real gRPC: what each tells the other, and when."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.launcher.v1 import launcher_service_pb2_grpc as pb_grpc

from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.launcher import service as service_module
from modelplane.launcher.service import Service
from tests.launcher.groups import SECONDS, Environment, Machine, build, group, machine
from tests.ports import free_port

HELLO = pb.Hello(launcher_id="me", pool="default", backend="local", build="1")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it report more than once in a second: what counts is what it tells, one by one."""
    monkeypatch.setattr(service_module, "_REPORT_SECONDS", 0.1)
    monkeypatch.setattr(service_module, "_LOG_SECONDS", 0.1)


class Plane(pb_grpc.LauncherServiceServicer):
    """A control plane that tells what a test lets it, and keeps what it hears."""

    def __init__(self) -> None:
        self.hellos: list[pb.Hello] = []
        self.reports: list[pb.Report] = []
        self.answer: pb.SyncResponse | None = None
        self._orders: asyncio.Queue[pb.SyncResponse | None] = asyncio.Queue()
        self.port = 0
        self.server: Any = None

    async def start(self) -> None:
        self.server = grpc.aio.server()
        pb_grpc.add_LauncherServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    def want(self, *groups: pb.GroupSpec, continues: bool = False) -> None:
        self._say(pb.SyncResponse(desired=pb.DesiredState(groups=groups, continues=continues)))

    def stand_by(self) -> None:
        self._say(pb.SyncResponse(standby=pb.Standby(active_launcher_id="another")))

    def hang_up(self) -> None:
        self._orders.put_nowait(None)

    def _say(self, answer: pb.SyncResponse) -> None:
        self.answer = answer
        self._orders.put_nowait(answer)

    async def Sync(  # noqa: N802 - named so by the protos
        self, requests: Any, context: Any
    ) -> AsyncIterator[pb.SyncResponse]:
        del context
        listening = asyncio.create_task(self._listen(requests))
        try:
            while not self._orders.empty():
                self._orders.get_nowait()
            if self.answer is not None:
                yield self.answer
            while (order := await self._orders.get()) is not None:
                yield order
        finally:
            listening.cancel()

    async def _listen(self, requests: Any) -> None:
        async for request in requests:
            if request.WhichOneof("message") == "hello":
                self.hellos.append(request.hello)
            else:
                self.reports.append(request.report)


@asynccontextmanager
async def synced(here: Machine, *planes: Plane) -> AsyncIterator[Service]:
    """Keep a launcher in step with control planes."""
    for plane in planes:
        await plane.start()
    targets = [f"127.0.0.1:{plane.port}" for plane in planes]
    async with aclosing(ControlLink(targets, None)) as link:
        service = Service(link, HELLO, here.launcher, Random(1))
        running = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            for plane in planes:
                await plane.server.stop(None)


async def test_it_introduces_itself_and_reports_again_and_again(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane):
        await here.until(lambda: len(plane.reports) >= 3)
        assert plane.hellos == [HELLO]
        assert plane.reports[0].capacity.memory_bytes == 1 << 40
        assert not plane.reports[0].groups


async def test_it_knows_whether_a_control_plane_answers_and_what_should_run(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane) as service:
        assert not service.is_active
        plane.want(group(here.models.add("iris"), replicas=2))
        await here.until(lambda: service.is_active)
        assert (service.is_connected, service.wanted) == (True, 2)
        plane.stand_by()
        await here.until(lambda: not service.is_active)
        assert (service.is_connected, service.wanted) == (True, 0)
        plane.answer = None
        plane.hang_up()
        await here.until(lambda: not service.is_connected)


async def test_what_is_desired_runs_and_each_change_is_told_with_its_log(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane):
        may_go_on = tmp_path / "may-go-on"
        spec = group(here.models.add("iris", print="a word of the model", awaits=str(may_go_on)))
        plane.want(spec)

        def has_replica() -> bool:
            return any(one.replicas for report in plane.reports for one in report.groups)

        await here.until(has_replica)
        may_go_on.touch()
        await here.until_ready(spec)

        def ready() -> bool:
            groups = plane.reports[-1].groups if plane.reports else []
            return any(one.progress == pb.GROUP_PROGRESS_READY for one in groups)

        await here.until(ready)
        seen = [one.groups[0] for one in plane.reports if one.groups]
        assert {one.progress for one in seen} >= {
            pb.GROUP_PROGRESS_STARTING,
            pb.GROUP_PROGRESS_READY,
        }
        assert seen[-1].replicas[0].address

        def told(kind: Any) -> str:
            logs = [log.text for report in plane.reports for log in report.logs if log.kind == kind]
            return logs[-1] if logs else ""

        # The last word that it says, and the last of all that were said before it ran.
        await here.until(lambda: "measures for" in told(pb.LOG_KIND_SERVICE))
        assert "a word of the model" in told(pb.LOG_KIND_SERVICE)
        await here.until(lambda: told(pb.LOG_KIND_BUILD) == here.log(spec, pb.LOG_KIND_BUILD))
        assert "Fetching version 1" in told(pb.LOG_KIND_BUILD)
        count = len(plane.reports)
        await here.until(lambda: len(plane.reports) > count + 2)
        # What has not changed is not told again.
        assert not any(report.logs for report in plane.reports[count:])


async def test_a_build_is_told_line_by_line_while_it_runs(tmp_path: Path) -> None:
    plane, may_end = Plane(), asyncio.Event()

    async def building(model: Path, log: Callable[[str], None]) -> Environment:
        log("Resolved 3 packages")
        await may_end.wait()
        log("Installed 3 packages")
        return await build(model, log)

    def told() -> str:
        logs = [log for report in plane.reports for log in report.logs]
        return "".join(log.text for log in logs if log.kind == pb.LOG_KIND_BUILD)

    async with machine(tmp_path, build=building) as here, synced(here, plane):
        spec = group(here.models.add("iris"))
        plane.want(spec)
        await here.until(lambda: "Resolved 3 packages" in told())
        assert plane.reports[-1].groups[0].progress == pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT
        assert "Installed" not in told()
        may_end.set()
        await here.until(lambda: "Installed 3 packages" in told())
        await here.until_ready(spec)


async def test_what_is_desired_may_come_in_parts(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane):
        first, second = group(here.models.add("iris")), group(here.models.add("other"))
        plane.want(first)
        [replica] = await here.until_ready(first)
        plane.want(second, continues=True)
        plane.want(first)
        await here.until_ready(second)
        assert [one.id for one in here.ready(first)] == [replica.id]


async def test_what_runs_goes_on_while_no_control_plane_answers(tmp_path: Path) -> None:
    plane = Plane()
    # It is given up for a while, and nobody else is to have it then.
    plane.port = free_port()
    async with machine(tmp_path) as here, synced(here, plane):
        spec = group(here.models.add("iris", print="a word"))
        plane.want(spec)
        [replica] = await here.until_ready(spec)
        await plane.server.stop(None)
        await asyncio.sleep(0.5)
        assert [one.id for one in here.ready(spec)] == [replica.id]
        plane.reports.clear()
        await plane.start()
        await here.until(lambda: plane.reports)
        assert len(plane.hellos) == 2
        assert [one.id for one in plane.reports[0].groups[0].replicas] == [replica.id]
        # Another control plane may have it, which knows no log.
        await here.until(lambda: any(report.logs for report in plane.reports))


async def test_another_control_plane_takes_the_place_of_one_that_hangs_up(tmp_path: Path) -> None:
    first, second = Plane(), Plane()
    async with machine(tmp_path) as here, synced(here, first, second):
        spec = group(here.models.add("iris"))
        first.want(spec)
        second.want(spec)
        [replica] = await here.until_ready(spec)
        first.hang_up()
        await here.until(lambda: second.reports)
        assert [one.id for one in second.reports[0].groups[0].replicas] == [replica.id]


async def test_where_another_launcher_is_active_its_replicas_end(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane):
        spec = group(here.models.add("iris"))
        plane.want(spec)
        await here.until_ready(spec)
        plane.stand_by()
        await here.until_gone(spec)
        count = len(plane.reports)
        await here.until(lambda: len(plane.reports) > count + 1)
        assert not plane.reports[-1].groups
        plane.want(spec)
        await here.until_ready(spec)


async def test_at_a_stop_all_ends_and_nothing_starts_any_more(tmp_path: Path) -> None:
    plane = Plane()
    async with machine(tmp_path) as here, synced(here, plane) as service:
        spec = group(here.models.add("iris"))
        plane.want(spec)
        await here.until_ready(spec)
        async with asyncio.timeout(SECONDS):
            await service.stop(5)
        plane.want(spec)
        count = len(plane.reports)
        await here.until(lambda: len(plane.reports) > count + 1)
        assert not here.group(spec).group_id
