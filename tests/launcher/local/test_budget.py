"""Memory is promised once: what does not fit is refused with a reason, or waits."""

from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from tests.launcher.groups import MIB, group, machine


async def test_a_first_start_that_does_not_fit_fails_with_the_numbers(tmp_path: Path) -> None:
    async with machine(tmp_path, memory=400 * MIB) as here:
        first, second = group(here.models.add("first")), group(here.models.add("second"))
        here.run(first)
        await here.until_ready(first)
        here.run(first, second)
        message = await here.until_failed(second)
        assert message == (
            "There is no room for a replica: a replica may use 256.0 MiB of memory, and of "
            "400.0 MiB only 144.0 MiB are not taken."
        )
        assert len(here.ready(first)) == 1


async def test_a_larger_group_keeps_what_fits_and_says_what_does_not(tmp_path: Path) -> None:
    async with machine(tmp_path, memory=600 * MIB) as here:
        spec = group(here.models.add("iris"), replicas=3)
        here.run(spec)
        await here.until(lambda: len(here.ready(spec)) == 2)
        report = here.group(spec)
        assert report.progress == pb.GROUP_PROGRESS_READY
        assert "no room for a replica" in report.message


async def test_a_start_waits_for_memory_that_is_about_to_be_free(tmp_path: Path) -> None:
    async with machine(tmp_path, memory=400 * MIB) as here:
        first, second = group(here.models.add("first")), group(here.models.add("second"))
        here.run(first)
        await here.until_ready(first)
        here.run(second)
        await here.until_ready(second)
        assert not here.group(first).group_id


async def test_a_group_that_did_fit_comes_back_when_there_is_room(tmp_path: Path) -> None:
    async with machine(tmp_path, memory=400 * MIB) as here:
        first, second = group(here.models.add("first")), group(here.models.add("second"))
        here.run(first)
        await here.until_ready(first)
        asleep = group(first.model, 0, generation=2)
        here.run(asleep)
        await here.until_ready(asleep)
        here.run(asleep, second)
        await here.until_ready(second)
        woken = group(first.model, 1, generation=3)
        here.run(woken, second)
        await here.until(lambda: "no room" in here.group(woken).message)
        assert here.group(woken).progress == pb.GROUP_PROGRESS_STARTING
        here.run(woken)
        await here.until_ready(woken)
