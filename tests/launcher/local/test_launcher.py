"""What should run, runs: started, told of, replaced, ended."""

import asyncio
import os
import re
import signal
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from tests.launcher.groups import MIB, ask, group, machine


async def test_a_group_gets_as_many_replicas_as_it_should_have(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"), replicas=2)
        here.run(spec)
        first, second = await here.until_ready(spec)
        assert first.address != second.address
        assert first.token != second.token
        assert await ask(first, run="1 + 1") == 2
        report = here.group(spec)
        assert report.progress == pb.GROUP_PROGRESS_READY
        assert report.generation == 1
        assert report.start_ms > 0
        assert here.report().capacity.reserved_memory_bytes == 512 * MIB
        assert "an environment that was there" in here.log(spec, pb.LOG_KIND_BUILD)


async def test_the_first_replica_is_measured_while_it_is_alone(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        model = here.models.add("llama", tokens_per_second=81.5, slow=0.3)
        spec = group(model, replicas=2, calibration_ms=1_500)
        here.run(spec)
        await here.until(lambda: here.group(spec).replicas)
        while not here.ready(spec):
            assert len(here.group(spec).replicas) == 1
            await asyncio.sleep(0.01)
        assert here.group(spec).tokens_per_second == 81.5
        await here.until_ready(spec)
        # What they print comes by another pipe than that they are ready.
        measured = await here.until(
            lambda: re.findall(r"measures for (.*)(?s:.*)measures for (.*)", here.log(spec))
        )
        assert measured == [("1.5", "0.0")]
        assert here.report().capacity.processor


async def test_a_group_that_cannot_be_measured_serves_all_the_same(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("odd"), replicas=2, calibration_ms=100)
        here.run(spec)
        await here.until_ready(spec)
        assert here.group(spec).tokens_per_second == 0


async def test_a_group_that_is_left_out_ends(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        await here.until_ready(spec)
        here.run()
        assert [one.phase for one in here.group(spec).replicas] in (
            [pb.REPLICA_PHASE_READY],
            [pb.REPLICA_PHASE_DRAINING],
        )
        await here.until_gone(spec)
        assert here.report().capacity.reserved_memory_bytes == 0
        assert list((here.folder / "replicas").iterdir()) == []


async def test_a_group_that_is_wanted_again_while_it_ends_runs(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        for pause in range(12):
            here.run(spec)
            for _ in range(pause):
                await asyncio.sleep(0)
            here.run()
            for _ in range(pause):
                await asyncio.sleep(0)
        here.run(spec)
        assert len(await here.until_ready(spec)) == 1


async def test_a_model_is_fetched_once_for_all_groups(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        model = here.models.add("iris")
        one, other = group(model), group(model, id="f" * 32)
        here.run(one, other)
        await here.until_ready(one)
        await here.until_ready(other)
        assert here.models.downloads == ["iris"]


async def test_what_dies_is_started_again(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [first] = await here.until_ready(spec)
        pid = await ask(first, run="__import__('os').getpid()")
        os.kill(pid, signal.SIGSEGV)
        await here.until(lambda: first.id not in [one.id for one in here.group(spec).replicas])
        [second] = await here.until_ready(spec)
        assert second.id != first.id
        assert "was killed by SIGSEGV" in here.log(spec)
