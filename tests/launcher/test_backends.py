"""What every place where replicas run does of what `launcher/backend.py` asks of it.

A place is one of `PLACES`: how to run a launcher there, of models that a fake server serves.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from tests.launcher.groups import Machine, ask, group, machine
from tests.launcher.kubernetes.world import cluster
from tests.launcher.ray.world import world

Place: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Machine]]
PLACES: dict[str, Place] = {"local": machine, "kubernetes": cluster, "ray": world}


@pytest.fixture(params=PLACES)
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    """Give each place in turn."""
    async with PLACES[request.param](tmp_path) as found:
        yield found


async def test_a_group_has_as_many_replicas_as_it_should_at_any_time(here: Machine) -> None:
    model = here.models.add("iris", print="a word of the model")
    spec = group(model, replicas=1)
    here.run(spec)
    [first] = await here.until_ready(spec)
    assert await ask(first, run="6 * 7") == 42
    assert here.group(spec).start_ms > 0
    assert here.launcher.counts.starts == {spec.engine: 1}
    capacity = here.report().capacity
    assert capacity.memory_bytes >= capacity.reserved_memory_bytes == spec.size.memory_bytes
    await here.until(
        lambda: "Fetching version 1 of model iris." in here.log(spec, pb.LOG_KIND_BUILD)
    )
    await here.until(lambda: "a word of the model" in here.log(spec))

    spec = group(model, replicas=3, generation=2)
    here.run(spec)
    three = await here.until_ready(spec)
    assert first.id in [one.id for one in three]
    assert len({one.address for one in three}) == len({one.token for one in three}) == 3
    assert here.group(spec).generation == 2

    spec = group(model, replicas=0, generation=3)
    here.run(spec)
    await here.until(lambda: not here.group(spec).replicas)
    assert here.group(spec).progress == pb.GROUP_PROGRESS_READY

    here.run(spec := group(model, replicas=1, generation=4))
    await here.until_ready(spec)
    assert here.launcher.counts.starts == {spec.engine: 4}
    here.run()
    await here.until_gone(spec)


async def test_what_should_run_as_before_is_left_alone(here: Machine) -> None:
    kept, other = group(here.models.add("kept")), group(here.models.add("other"))
    here.run(kept)
    [before] = await here.until_ready(kept)
    here.run(kept, other)
    await here.until_ready(other)
    here.run(kept)
    await here.until_gone(other)
    assert [one.id for one in here.ready(kept)] == [before.id]
    assert await ask(before, run="1") == 1


async def test_what_dies_is_replaced(here: Machine) -> None:
    spec = group(here.models.add("iris"), replicas=2)
    here.run(spec)
    first, second = await here.until_ready(spec)
    os.kill(await ask(first, run="__import__('os').getpid()"), signal.SIGSEGV)
    await here.until(lambda: first.id not in [one.id for one in here.group(spec).replicas])
    assert second.id in [one.id for one in await here.until_ready(spec)]
    await here.until(lambda: "SIGSEGV" in here.log(spec))


async def test_what_cannot_be_loaded_fails_in_words_and_is_tried_again(
    here: Machine, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    does = {"error": "The model has no weights.", "unless": str(mended), "print": "loading"}
    model = here.models.add("broken", **does)
    spec = group(model)
    here.run(spec)
    message = await here.until_failed(spec)
    assert message.startswith("The model has no weights.")
    assert "loading" in message
    mended.touch()
    here.run(spec := group(model, generation=2))
    await here.until_ready(spec)
    assert here.group(spec).generation == 2


async def test_variables_and_size_are_the_models(here: Machine) -> None:
    spec = group(here.models.add("iris"), environment={"COLOUR": "blue"})
    here.run(spec)
    [replica] = await here.until_ready(spec)
    assert await ask(replica, run="os.environ['COLOUR']") == "blue"
    assert await ask(replica, run="'MODELPLANE_LAUNCHER_TOKEN' in os.environ") is False
