"""What a launcher's page of metrics says of what it runs, and of what has become of that."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelplane.launcher.backend import Backend
from modelplane.launcher.counts import Work
from modelplane.launcher.metrics import page_of
from tests.launcher.groups import MIB, ask, group, machine

PREFIX = "modelplane_launcher_"


@dataclass
class Line:
    is_connected: bool = True
    is_active: bool = True
    wanted: int = 0


def read(backend: Backend, line: Line) -> dict[str, float]:
    """Return each number on the page, under its name and the values of its labels."""
    text = page_of(backend, line)().decode()
    return {
        ",".join([sample.name.removeprefix(PREFIX), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_replicas_are_told_of_from_their_start_to_their_end(tmp_path: Path) -> None:
    async with machine(tmp_path, memory=1024 * MIB) as here:
        spec = group(here.models.add("good"), replicas=2)
        before = read(here.launcher, Line(is_active=False))
        assert (before["connected"], before["active"], before["replicas,ready"]) == (1, 0, 0)
        here.run(spec)
        replicas = await here.until_ready(spec)
        await here.until(lambda: all(one.memory_bytes for one in here.ready(spec)))
        found = read(here.launcher, Line(wanted=2))
        assert (found["replicas,ready"], found["replicas_wanted"], found["groups,ready"]) == (
            2,
            2,
            1,
        )
        assert found["replica_starts_total,mlflow_pyfunc"] == 2
        assert found["replica_start_seconds_total,mlflow_pyfunc"] > 0
        assert (found["memory_bytes,total"], found["memory_bytes,reserved"]) == (1 << 30, 512 * MIB)
        assert found["memory_bytes,used"] > 0
        assert found["work_ended_total,fetch,done"] == 1
        with pytest.raises(OSError, match=r".*"):
            await ask(replicas[0], die=True)
        await here.until(lambda: here.launcher.counts.ends)
        here.run()
        await here.until_gone(spec)
        found = read(here.launcher, Line())
        assert found["replica_ends_total,mlflow_pyfunc,died"] == 1
        assert found["replica_ends_total,mlflow_pyfunc,stopped"] >= 1
        assert (found["replicas,ready"], found["memory_bytes,reserved"]) == (0, 0)


async def test_what_is_given_up_is_counted(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        refused = group(here.models.add("refused", error="no such module"))
        lost = here.models.add("lost")
        (here.models.folder / "lost" / "MLmodel").write_text("another\n")
        unfetched = group(lost)
        here.run(refused, unfetched)
        for spec in (refused, unfetched):
            await here.until_failed(spec)
        found = read(here.launcher, Line(wanted=2))
        assert found["groups,failed"] == 2
        assert found["group_failures_total,mlflow_pyfunc"] == 2
        assert found["replica_ends_total,mlflow_pyfunc,refused"] == 1
        assert found["work_ended_total,fetch,failed"] == 1
        assert found["work_seconds_total,fetch"] > 0


def test_work_is_counted_by_how_it_ends() -> None:
    work = Work()
    with work.run():
        assert work.running == 1
    with pytest.raises(ValueError, match="x"), work.run():
        raise ValueError("x")
    with pytest.raises(KeyboardInterrupt), work.run():
        raise KeyboardInterrupt
    assert work.running == 0
    assert work.ended == {"done": 1, "failed": 1, "cancelled": 1}
