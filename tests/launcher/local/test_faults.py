"""Models that do what they should not: each ends, says why, and harms nothing else."""

import asyncio
import re
import socket
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.local import disk, health, launcher
from modelplane.launcher.local.reach import HERE, Reach
from modelplane.launcher.local.tail import Tail
from tests.launcher.groups import MIB, Machine, ask, group, machine, until_inside


def is_alive(pid: int) -> bool:
    try:
        # A zombie is dead, whoever has not noticed.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def numbers_after(word: str, here: Machine, spec: pb.GroupSpec) -> list[int]:
    """Return the numbers that a model's server has printed after a word."""
    found = await here.until(lambda: re.search(rf"{word} ([\d ]+)\n", here.log(spec)))
    return [int(number) for number in found[1].split()]


async def test_one_that_ends_before_it_is_ready_fails_with_its_last_words(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("broken", status=3, print="libfoo.so is missing"))
        here.run(spec)
        message = await here.until_failed(spec)
        assert "ended with status 3" in message
        assert "libfoo.so is missing" in message
        assert here.log(spec).count("libfoo.so is missing") == 3
        await here.until(lambda: not here.group(spec).replicas)
        assert here.report().capacity.reserved_memory_bytes == 0


async def test_one_whose_model_cannot_be_loaded_fails_at_once(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("broken", error="No module named 'x'.", print="Traceback"))
        here.run(spec)
        message = await here.until_failed(spec)
        assert message.startswith("No module named 'x'.")
        assert here.log(spec).count("Traceback") == 1


async def test_a_failed_group_tries_again_with_its_next_generation(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("broken", error="not today"))
        here.run(spec)
        await here.until_failed(spec)
        here.run(spec)
        await asyncio.sleep(0.2)
        assert here.log(spec).count("not today") == 1
        spec = group(spec.model, generation=2)
        here.run(spec)
        await here.until(lambda: here.log(spec).count("not today") == 2)
        await here.until_failed(spec)
        assert here.group(spec).generation == 2


async def test_one_that_never_gets_ready_fails_at_its_deadline(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("hanging", hang=True), start_deadline_ms=500)
        here.run(spec)
        assert here.group(spec).progress != pb.GROUP_PROGRESS_FAILED
        message = await here.until_failed(spec)
        assert "was not loaded within 0.5 s" in message
        await here.until(lambda: not here.group(spec).replicas)


async def test_one_that_starts_slowly_gets_ready(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        may_go_on = tmp_path / "may-go-on"
        spec = group(here.models.add("slow", awaits=str(may_go_on)))
        here.run(spec)
        await here.until(lambda: here.group(spec).replicas)
        since = time.monotonic()
        report = here.group(spec)
        assert report.progress == pb.GROUP_PROGRESS_STARTING
        assert report.replicas[0].phase == pb.REPLICA_PHASE_STARTING
        await here.until(lambda: "hello" in here.log(spec))
        least = int((time.monotonic() - since) * 1000)
        may_go_on.touch()
        await here.until_ready(spec)
        assert here.group(spec).start_ms >= least > 0


async def test_one_that_dies_again_and_again_fails_in_the_end(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("short", lives=0.05))
        here.run(spec)
        message = await here.until_failed(spec)
        assert "ended with status 5" in message
        assert here.log(spec).count("ended with status 5") == 3


async def test_one_that_requests_end_is_started_again_and_again(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        for _ in range(5):
            [replica] = await here.until_ready(spec)
            await ask_to_die(replica)
            await here.until(lambda: not here.ready(spec))
        [replica] = await here.until_ready(spec)
        assert await ask(replica, run="7") == 7


async def test_one_for_an_engine_of_another_release_fails_at_once(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("weights"), engine="foo")
        here.run(spec)
        assert await here.until_failed(spec) == (
            "This launcher is of a release that has no engine 'foo'."
        )
        assert here.models.downloads == []


async def test_one_that_takes_too_much_memory_is_killed(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        size = pb.ReplicaSize(cpus=1, memory_bytes=100 * MIB, concurrency=4)
        spec = group(here.models.add("leaking", leak=200), size=size)
        here.run(spec)
        message = await here.until_failed(spec)
        assert "killed: out of memory (limit 100.0 MiB)" in message


@pytest.mark.parametrize(
    ("bound", "reason"),
    [("MOST_BYTES", "written more than 0 GiB"), ("MOST_FILES", "more than 1 files")],
)
async def test_one_that_fills_the_disk_is_killed(
    bound: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_DISK_TURNS", 1)
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        # What it writes as it starts is more than that already.
        monkeypatch.setattr(disk, bound, 1)
        # It may be killed before it has answered.
        with suppress(OSError, HTTPException):
            await ask(replica, run="open('more', 'w').write('x' * 5000)")
        await here.until(lambda: f"killed: it has {reason}" in here.log(spec))


async def test_memory_of_children_counts_and_is_told(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        alone, many = group(here.models.add("alone")), group(here.models.add("many", children=3))
        here.run(alone, many)
        await here.until_ready(alone)
        await here.until_ready(many)

        def told(spec: pb.GroupSpec) -> int:
            return here.group(spec).replicas[0].memory_bytes

        # They are looked at together, and may have been before the children had begun.
        await here.until(lambda: 5 * MIB < told(alone) < told(many))


async def test_one_that_prints_without_end_waits_and_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    write = Tail.write

    def counting(tail: Tail, content: bytes) -> None:
        nonlocal taken
        taken += len(content)
        write(tail, content)

    monkeypatch.setattr(Tail, "write", counting)
    async with machine(tmp_path) as here:
        spec = group(here.models.add("loud", flood=True))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        since, before = time.monotonic(), taken
        await here.until(lambda: taken > before + MIB)
        assert await ask(replica, run="7") == 7
        assert len(here.log(spec).encode()) <= 256 * 1024
        # At most a megabyte each second, which begins whenever it does, and what marks the lines:
        # far from what it could print.
        most = 1.1 * MIB * (2 + time.monotonic() - since)
        assert taken - before < most


@pytest.mark.parametrize("escapes", [False, True])
async def test_what_a_model_starts_ends_with_it(tmp_path: Path, *, escapes: bool) -> None:
    behaviour = {"escaped": 2} if escapes else {"children": 2}
    async with machine(tmp_path) as here:
        spec = group(here.models.add("forking", **behaviour))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        children = await numbers_after("children", here, spec)
        assert len(children) == 2
        assert all(map(is_alive, children))
        # Neither does it survive a death that nobody asked for.
        await ask_to_die(replica)
        await here.until(lambda: not any(map(is_alive, children)))
        await here.until(lambda: len(re.findall(r"children \d+", here.log(spec))) == 2)
        here.run()
        last = re.findall(r"children ([\d ]+)\n", here.log(spec))[-1].split()
        await here.until_gone(spec)
        assert not any(is_alive(int(pid)) for pid in last)


async def ask_to_die(replica: pb.ReplicaReport) -> None:
    with pytest.raises((OSError, HTTPException)):
        await ask(replica, die=True)


async def test_ports_that_a_model_opens_are_closed_with_it(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("listening", listens=True))
        here.run(spec)
        await here.until_ready(spec)
        [port] = await numbers_after("listens", here, spec)
        socket.create_connection(("127.0.0.1", port)).close()
        here.run()
        await here.until_gone(spec)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


async def test_one_that_ignores_the_end_is_killed_once_a_request_could_be_over(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("stubborn", stubborn=True), evaluation_deadline_ms=300)
        here.run(spec)
        await here.until_ready(spec)
        here.run()
        await here.until_gone(spec)


async def test_one_that_ignores_the_end_is_killed_once_it_has_nothing_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_IDLE_SECONDS", 0.05)
    async with machine(tmp_path) as here:
        spec = group(here.models.add("stubborn", stubborn=True), evaluation_deadline_ms=600_000)
        here.run(spec)
        [replica] = await here.until_ready(spec)
        answer = asyncio.create_task(ask(replica, run="'late'", seconds=2))
        await until_inside(replica)
        here.run()
        assert await answer == "late"
        await here.until_gone(spec)


async def test_what_is_being_answered_is_answered_before_the_end(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        answer = asyncio.create_task(ask(replica, run="'late'", seconds=2))
        await until_inside(replica)
        here.run()
        assert await answer == "late"
        await here.until_gone(spec)


async def test_a_start_that_is_no_longer_wanted_ends_at_once(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("hanging", hang=True))
        here.run(spec)
        await here.until(lambda: here.group(spec).replicas)
        here.run()
        await here.until_gone(spec)


async def test_a_scale_down_ends_the_youngest_and_a_scale_up_keeps_the_old(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        model = here.models.add("iris")
        here.run(one := group(model))
        [first] = await here.until_ready(one)
        here.run(three := group(model, 3, generation=2))
        assert first.id in [replica.id for replica in await here.until_ready(three)]
        here.run(again := group(model, generation=3))
        [left] = await here.until_ready(again)
        assert left.id == first.id
        here.run(none := group(model, 0, generation=4))
        assert await here.until_ready(none) == []
        report = here.group(none)
        assert report.progress == pb.GROUP_PROGRESS_READY
        here.run(one)
        await here.until_ready(one)
        # Neither fetched nor built again.
        assert here.models.downloads == ["iris"]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"LONG": "v" * (128 << 10)}, "variable LONG is longer than 128 KiB"),
        ({f"V{n}": "v" * 100_000 for n in range(11)}, r"have 1\.0 MiB together"),
        ({"NUL": "a\0b"}, "variable NUL holds a NUL character"),
    ],
)
async def test_variables_that_no_process_can_have_are_told(
    tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"), environment=variables)
        here.run(spec)
        assert re.search(reason, (await here.until_failed(spec)).partition("\n")[0])


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**30, "", None, [1]])
async def test_a_port_that_is_none_is_not_told_to_workers(tmp_path: Path, port: object) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("liar", port=port))
        here.run(spec)
        assert "said something else than its port" in await here.until_failed(spec)


@pytest.mark.parametrize("reach", [HERE, Reach(is_secure=True)], ids=["plain", "tls"])
@pytest.mark.parametrize(("fault", "reason"), [("hanging", "it hangs"), ("silent", "it answers")])
async def test_one_that_hangs_later_is_replaced(
    fault: str, reason: str, reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(health, "_ANSWER_SECONDS", 1.0)
    async with machine(tmp_path, reach=reach) as here:
        spec = group(here.models.add("iris"), replicas=2, evaluation_deadline_ms=500)
        here.run(spec)
        broken, whole = await here.until_ready(spec)
        await ask(broken, faults=[fault])
        await here.until(lambda: broken.id not in {one.id for one in here.group(spec).replicas})
        assert whole.id in {one.id for one in await here.until_ready(spec)}
        assert f"was ended: {reason}" in here.log(spec)
