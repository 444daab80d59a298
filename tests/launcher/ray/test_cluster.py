"""What a launcher does with a Ray cluster, beyond what it does in every place."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.launcher.v1 import launcher_service_pb2_grpc as pb_grpc

from modelplane.adapters.shared.rpc.tls import TokenFiles, open_channel
from modelplane.launcher.cluster import launcher as cluster_launcher
from modelplane.launcher.ray import cluster as ray_cluster
from modelplane.launcher.ray.host import TOKEN
from modelplane.launcher.ray.jobs import HOST_BYTES
from tests.emulators.ray.cluster import Node, Process
from tests.launcher.groups import MIB, ask, group
from tests.launcher.ray.world import World, launching, world

LOOK = ("GET", "/api/jobs/")


async def test_a_machine_that_is_lost_is_replaced_before_ray_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_launcher, "_LOST_SECONDS", 0.2)
    nodes = Node("127.0.0.2", cpus=1), Node("127.0.0.3", cpus=2)
    async with world(tmp_path, *nodes) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = await here.until_ready(spec)
        here.cluster.cut(nodes[0])
        known = {one.id for one in before}

        def left_of_them() -> list[pb.ReplicaReport]:
            there = [one for one in here.ready(spec) if one.id in known]
            return there if len(there) == 1 else []

        [left] = await here.until(left_of_them)
        assert await ask(left, run="1") == 1
        after = await here.until_ready(spec)
        assert left.id in {one.id for one in after}
        assert {one.address.partition(":")[0] for one in after} == {nodes[1].address}
        lost = [job for job in here.jobs() if job.node is nodes[0]]
        assert [job.is_to_stop for job in lost] == [True]
        # Once Ray knows, nothing is left of it.
        here.cluster.notice(nodes[0])
        await here.until(lambda: len(here.cluster.jobs) == 2)
        assert {one.id for one in here.ready(spec)} == {one.id for one in after}
        assert len(before) == 2


async def test_where_no_other_machine_fits_a_lost_one_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_launcher, "_LOST_SECONDS", 0.2)
    monkeypatch.setattr(ray_cluster, "_AVOIDING_SECONDS", 0.3)
    node = Node("127.0.0.2")
    async with world(tmp_path, node) as here:
        here.run(spec := group(here.models.add("iris")))
        [before] = await here.until_ready(spec)
        here.cluster.cut(node)
        await here.until(lambda: not here.ready(spec))
        node.answers = True
        await here.until(lambda: here.ready(spec))
        assert here.ready(spec)[0].id != before.id


async def test_a_head_that_is_lost_takes_no_replica_of_other_machines(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.run(spec := group(here.models.add("iris")))
        [before] = await here.until_ready(spec)
        [old] = here.jobs()
        here.ray.away = True
        await asyncio.sleep(0.3)
        assert [one.id for one in here.ready(spec)] == [before.id]
        # Another head, which knows nothing of it: a job in its place.
        here.cluster.start_anew()
        here.ray.away = False
        await here.until(lambda: len(here.ready(spec)) == 2)
        assert len(here.jobs()) == 1
        assert await ask(before, run="1") == 1
        assert old.process
        old.process.stop.set()
        await here.until(lambda: before.id not in {one.id for one in here.ready(spec)})
        await here.until_ready(spec)


async def test_a_launcher_that_is_started_anew_says_nothing_before_hosts_are_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = {one.id for one in await here.until_ready(spec)}
        await here.end_launcher()
        assert len(here.jobs()) == 2
        async with launching(here.settings) as second:
            here.launcher = second
            here.run(spec)
            seen = await here.until(second.report)
            assert {one.id for one in seen.groups[0].replicas} == before
            assert here.ray.requests.count(("POST", "/api/jobs/")) == 2


async def test_jobs_of_another_release_are_replaced_and_never_all_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = {one.id for one in await here.until_ready(spec)}
        await here.end_launcher()
        newer = here.with_settings(log_level="debug")
        async with launching(newer) as second:
            here.launcher = second
            here.run(spec)

            def is_replaced() -> bool:
                if second.report() is None:
                    return False
                assert len(here.ready(spec)) >= 2
                levels = {level_of(job.process) for job in here.jobs()}
                return levels == {"debug"} and len(here.ready(spec)) == 2

            await here.until(is_replaced)
            assert before.isdisjoint({one.id for one in here.ready(spec)})


def level_of(process: Process | None) -> str:
    return process.environment["MODELPLANE_LOG_LEVEL"] if process else ""


async def test_what_keeps_jobs_from_coming_up_is_told(tmp_path: Path) -> None:
    small = Node("127.0.0.2", memory=256 * MIB + HOST_BYTES - 1)
    async with world(tmp_path, small) as here:
        model = here.models.add("iris")
        here.run(spec := group(model))
        await here.until(lambda: "waiting for resources" in here.group(spec).message)
        assert here.group(spec).progress == pb.GROUP_PROGRESS_STARTING
        # Ray ends a job that waits only after it was placed: it counts no longer at once.
        here.run()
        await here.until_gone(spec)
        here.run(spec := group(model, generation=2))
        here.cluster.nodes.append(Node("127.0.0.3"))
        await here.until_ready(spec)
        await here.until(lambda: len(here.cluster.jobs) == 1)


async def test_what_ray_refuses_is_told_and_not_asked_again_and_again(tmp_path: Path) -> None:
    async with world(tmp_path, MODELPLANE_RAY_LABELS="pool=a b") as here:
        here.run(iris := group(here.models.add("iris")))
        message = await here.until(lambda: here.group(iris).message)
        assert "Ray refuses the job: ValueError: Invalid label selector value" in message
        size = pb.ReplicaSize(gpus=1, gpu_memory_bytes=1, memory_bytes=MIB)
        here.run(iris, other := group(here.models.add("large"), size=size))
        await here.until(lambda: "say gpu_type" in here.group(other).message)
        # However often it is looked whether all is as it should be.
        looks = here.ray.requests.count(LOOK)
        await here.until(lambda: here.ray.requests.count(LOOK) > looks + 10)
        assert here.ray.requests.count(("POST", "/api/jobs/")) == 1
        here.run(iris, rose := group(here.models.add("rose")))
        await here.until(lambda: "Ray refuses the job: ValueError" in here.group(rose).message)
        assert here.ray.requests.count(("POST", "/api/jobs/")) == 2


async def test_a_job_that_ends_again_and_again_waits_and_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_FIRST_PAUSE_SECONDS", 300.0)

    async def run(process: Process) -> int:
        process.say("/opt/bin/python: No module named modelplane\n")
        return 1

    async with world(tmp_path) as here:
        here.cluster.run = run
        here.run(spec := group(here.models.add("iris")))
        message = await here.until(
            lambda: "No module named" in here.group(spec).message and here.group(spec).message
        )
        assert "exit code 1" in message
        # At once after the first time, after a while after the second.
        asked = ("POST", "/api/jobs/")
        await here.until(lambda: here.ray.requests.count(asked) == 2 and not here.cluster.jobs)
        looks = here.ray.requests.count(LOOK)
        await here.until(lambda: here.ray.requests.count(LOOK) > looks + 5)
        assert here.ray.requests.count(asked) == 2


async def test_what_ray_leaves_of_jobs_is_cleared_away(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.run(spec := group(here.models.add("iris")))
        await here.until_ready(spec)
        here.run()
        await here.until_gone(spec)
        # Forgotten at once, a job comes back as one that has failed.
        await here.until(lambda: here.cluster.remnants)
        await here.until(lambda: not here.cluster.jobs)


async def test_a_cluster_without_tokens_is_not_used(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.end_launcher()
        here.ray.token = ""
        async with launching(here.settings) as second:
            here.launcher = second
            here.run(group(here.models.add("iris")))
            here.ray.requests.clear()
            await here.until(lambda: len(here.ray.requests) > 2)
            assert second.report() is None
            assert set(here.ray.requests) == {("GET", "/api/jobs/")}


async def test_no_job_holds_a_secret_of_its_model(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        model = here.models.add("iris")
        model.authorization = "bearer registry-secret"
        here.run(spec := group(model, environment={"KEY": "model-secret"}))
        [replica] = await here.until_ready(spec)
        assert await ask(replica, run="os.environ['KEY']") == "model-secret"
        # Nor does a model see what the job has.
        seen = await ask(replica, run="dict(os.environ)")
        assert not [name for name in seen if name.startswith(("RAY_", "MODELPLANE_HOST"))]
        said = json.dumps([job.details() for job in here.cluster.jobs.values()])
        assert "-secret" not in said
        assert replica.token not in said


async def said_to(here: World, token: str) -> str:
    """Return what the launcher says to who registers with a token."""
    file = here.folder / "a-token"
    file.write_text(token)
    files = TokenFiles(Path(here.settings.tls_ca), file, "launcher")
    async with open_channel(here.settings.hosts_address, files, ()) as channel:
        stream = pb_grpc.LauncherServiceStub(channel).Sync()
        with suppress(grpc.aio.AioRpcError):
            # Who it is is known before it has said a word.
            return str(await stream.read())
        return f"{(await stream.code()).name}: {await stream.details()}"


async def test_only_a_job_of_the_group_registers_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_LEAST_LOOK_SECONDS", 0.0)
    async with world(tmp_path) as here:
        first, second = group(here.models.add("iris")), group(here.models.add("rose"))
        here.run(first, second)
        [before] = await here.until_ready(first)
        await here.until_ready(second)
        tokens = [job.request["runtime_env"]["env_vars"][TOKEN] for job in here.jobs()]
        name, _, secret = tokens[0].partition(".")
        other = tokens[1].partition(".")[0]
        for wrong in ("none", name, f"{name}.", f"{other}.{secret}", f"{name}.{secret}x"):
            assert (await said_to(here, wrong)).startswith("UNAUTHENTICATED"), wrong
        # The model runs beside its host, and may read the token: the line is the host's.
        assert (await said_to(here, tokens[0])).startswith("ALREADY_EXISTS")
        assert [one.id for one in here.ready(first)] == [before.id]
