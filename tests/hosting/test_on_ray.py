"""A real model on a real Ray cluster of two machines, and what it takes when they die.

The figures are printed.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.settings import load
from modelplane.adapters.shared.tls import pinned
from modelplane.deploy.certificates import LAUNCHER, CertificateDir
from modelplane.launcher.settings import Settings
from tests.emulators.ray import questions
from tests.hosting.ray_machines import HERE, Machine, machines
from tests.hosting.weights import model_file
from tests.launcher.groups import MIB, Models, group
from tests.launcher.groups import Machine as Launched
from tests.launcher.ray.world import launching
from tests.ports import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]

_REST = 8265
# For a machine that does nothing else; here others may.
_LONG = 300.0


@dataclass
class Cluster(Launched):
    """A launcher with a real Ray cluster.

    Attributes:
        head: The machine of the head.
        other: The other machine.
        token: The cluster's.
        source: The model.
        port: The head's, for its machines.
    """

    launcher: Any
    models: Models
    folder: Path
    head: Machine
    other: Machine
    token: str
    source: pb.ModelSource
    port: int = 6379

    def note(self, what: str, seconds: float) -> None:
        """Tell a figure."""
        print(f"{seconds:8.1f} s  {what}", flush=True)  # noqa: T201 - what it is for

    def start_head(self) -> None:
        self.head.start(
            *("--head", "--port", str(self.port), "--dashboard-host", self.head.address),
            *("--dashboard-port", str(_REST), "--num-cpus", "3"),
            *("--temp-dir", str(self.folder / "r"), "--include-dashboard", "true"),
        )

    def start_other(self) -> None:
        self.other.start("--address", f"{self.head.address}:{self.port}", "--num-cpus", "3")

    @property
    def api(self) -> str:
        return f"http://{self.head.address}:{_REST}"

    async def until_machines(self, count: int) -> None:
        """Wait until Ray has so many machines."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.api}/api/v0/nodes?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(2 * _LONG):
            while True:
                self.head.start_again()
                self.other.start_again()
                with suppress(aiohttp.ClientError, KeyError, TypeError):
                    async with session.get(url) as found:
                        if (await found.json())["data"]["result"]["num_filtered"] >= count:
                            return
                await asyncio.sleep(0.2)

    def place_of(self, spec: pb.GroupSpec) -> list[str]:
        return sorted(one.address.rpartition(":")[0] for one in self.ready(spec))

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        clock = asyncio.get_running_loop().time
        began = clock()
        yield
        self.note(what, clock() - began)

    async def until_serving(self, spec: pb.GroupSpec, but: frozenset[str] = frozenset()) -> None:
        """Wait until as many replicas are ready as there should be, of others than some."""

        def is_so() -> bool:
            report = self.group(spec)
            assert report.progress != pb.GROUP_PROGRESS_FAILED, report.message
            ready = {one.id for one in self.ready(spec)}
            return len(ready) == spec.replicas and not ready & but

        await self.until(is_so, _LONG)


def ask(replica: pb.ReplicaReport) -> str:
    """Ask a replica as a worker does, and return what it says."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    request = urllib.request.Request(
        f"https://{replica.address}/invocations",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {replica.token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20, context=pinned(replica.certificate)) as found:
        answer = json.loads(found.read())
    assert answer["usage"]["completion_tokens"] > 0
    return str(answer["choices"][0]["message"]["content"])


class Caller:
    """Asks one group after another answer, as a worker: another replica where one does not answer.

    Attributes:
        spec: The group.
        answers: When answers came, by the loop's clock.
        failures: What no replica has answered, while there was one.
    """

    def __init__(self, here: Cluster, spec: pb.GroupSpec) -> None:
        self.spec = spec
        self.answers: list[float] = []
        self.failures: list[str] = []
        self._here = here
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        while True:
            ready = self._here.ready(self.spec)
            failed = []
            for replica in sorted(ready, key=lambda _: secrets.randbelow(100)):
                try:
                    await asyncio.wait_for(asyncio.to_thread(ask, replica), 20)
                    self.answers.append(self._clock())
                    break
                except (OSError, TimeoutError, ValueError) as error:
                    failed.append(repr(error))
            else:
                if ready:
                    self.failures.append("; ".join(failed))
            await asyncio.sleep(0.05)

    async def until_answer(self, since: float) -> float:
        """Wait for an answer to what was asked after a time; return when it came."""
        async with asyncio.timeout(_LONG):
            while not self.answers or self.answers[-1] < since:
                await asyncio.sleep(0.01)
        return next(at for at in self.answers if at >= since)


@asynccontextmanager
async def calling(here: Cluster, spec: pb.GroupSpec) -> AsyncIterator[Caller]:
    caller = Caller(here, spec)
    running = asyncio.create_task(caller.run())
    try:
        yield caller
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def registered(folder: Path) -> pb.ModelSource:
    """Register the small model."""
    version = folder / "smollm2" / "1"
    version.mkdir(parents=True)
    (version / "MLmodel").write_text("name: smollm2\n")
    shutil.copy(model_file(), version)
    digest = hashlib.sha256((version / "MLmodel").read_bytes()).hexdigest()
    return pb.ModelSource(
        registry="directory", uri=str(folder), name="smollm2", version="1", digest=digest
    )


def model(here: Cluster, name: str) -> pb.GroupSpec:
    """Return what should run of the model, as a group of its own."""
    return group(
        here.source,
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        served_entity_name=name,
        size=pb.ReplicaSize(cpus=1, memory_bytes=1024 * MIB, concurrency=2),
        engine="llama_cpp",
        engine_options=pb.EngineOptions(task="llm/v1/chat", context_tokens=512),
        start_deadline_ms=240_000,
    )


def scaled(spec: pb.GroupSpec, replicas: int) -> pb.GroupSpec:
    again = pb.GroupSpec()
    again.CopyFrom(spec)
    again.replicas, again.generation = replicas, spec.generation + 1
    return again


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a directory for Ray's sockets, whose paths have to be short."""
    with TemporaryDirectory(prefix="mpr-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Run a cluster of two machines, and a launcher with it."""
    token = secrets.token_hex(16)
    (folder / "token").write_text(token)
    (folder / "hosts").mkdir()
    certificates = CertificateDir(folder / "certificates")
    certificates.ensure([HERE], datetime.now(UTC))
    hosts = f"{HERE}:{free_port()}"
    models = Models(folder / "models")
    with machines(folder, 2) as (head, other):
        given = {
            **certificates.settings(LAUNCHER),
            "MODELPLANE_RAY_API": f"http://{head.address}:{_REST}",
            "MODELPLANE_RAY_TOKEN_FILE": str(folder / "token"),
            "MODELPLANE_RAY_PYTHON": sys.executable,
            "MODELPLANE_RAY_DIR": str(folder / "hosts"),
            "MODELPLANE_HOSTS_LISTEN": hosts,
            "MODELPLANE_HOSTS_ADDRESS": hosts,
            "MODELPLANE_LAUNCHER_MEMORY": "16GiB",
        }
        settings = load(Settings, "modelplane launcher", ["--backend", "ray"], given)
        async with launching(settings) as launcher:
            yield Cluster(launcher, models, folder, head, other, token, registered(models.folder))


async def test_a_real_model_on_a_real_cluster(
    short_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with cluster(short_path) as here:
        with capsys.disabled():
            await start(here)
            await questions.ask_all(here.api, here.token)
            await scale(here)
            first, second = await split(here)
            await update(here, first, second)
            await lose_a_process(here, second)
            await lose_a_machine(here)
            await lose_the_head(here)


async def start(here: Cluster) -> None:
    with here.measured("head started"):
        here.start_head()
        await here.until_machines(1)
    with here.measured("second machine joined"):
        here.start_other()
        await here.until_machines(2)


async def scale(here: Cluster) -> None:
    spec = model(here, "scaled")
    with here.measured("0 to 1, until it is ready (its model fetched and loaded)"):
        here.run(spec)
        await here.until_serving(spec)
    here.note("  of that the model server's own start", here.group(spec).start_ms / 1000)
    assert await asyncio.to_thread(ask, here.ready(spec)[0])
    spec = scaled(spec, 3)
    with here.measured("1 to 3"):
        here.run(spec)
        await here.until_serving(spec)
    assert set(here.place_of(spec)) == {here.head.address, here.other.address}
    assert all(await asyncio.gather(*(asyncio.to_thread(ask, one) for one in here.ready(spec))))
    spec = scaled(spec, 0)
    with here.measured("3 to 0"):
        here.run(spec)
        await here.until(lambda: not here.group(spec).replicas, _LONG)
    spec = scaled(spec, 1)
    with here.measured("0 to 1 again"):
        here.run(spec)
        await here.until_serving(spec)
    here.run()
    await here.until(lambda: not here.group(spec).group_id, _LONG)


async def split(here: Cluster) -> tuple[pb.GroupSpec, pb.GroupSpec]:
    """Run two versions beside each other, one on each machine."""
    first, second = model(here, "first"), model(here, "second")
    here.run(first, second)
    for spec in (first, second):
        await here.until_serving(spec)
        assert await asyncio.to_thread(ask, here.ready(spec)[0])
    return first, second


async def update(here: Cluster, old: pb.GroupSpec, kept: pb.GroupSpec) -> None:
    """Replace a version by the next, without a failed request."""
    new = model(here, "third")
    async with calling(here, old) as caller, calling(here, kept) as other:
        with here.measured("rolling update, until the next version is ready"):
            here.run(old, kept, new)
            await here.until_serving(new)
        caller.spec = new
        with here.measured("rolling update, until the one before is gone"):
            here.run(kept, new)
            await here.until(lambda: not here.group(old).group_id, _LONG)
        await caller.until_answer(asyncio.get_running_loop().time())
        assert not caller.failures + other.failures
        assert caller.answers
        assert other.answers
    here.run(kept)
    await here.until(lambda: not here.group(new).group_id, _LONG)


async def lose_a_process(here: Cluster, spec: pb.GroupSpec) -> None:
    for what, words in (("replica", "serve.py"), ("host's job", "launcher.ray.host")):
        before = frozenset(one.id for one in here.ready(spec))
        machine = here.head if here.place_of(spec) == [here.head.address] else here.other
        [pid, *_] = machine.processes(words)
        with here.measured(f"{what} killed, until another one serves"):
            os.kill(pid, signal.SIGKILL)
            await here.until_serving(spec, but=before)
        assert await asyncio.to_thread(ask, here.ready(spec)[0])
    here.run()
    await here.until(lambda: not here.group(spec).group_id, _LONG)


async def on(here: Cluster, machine: Machine, name: str) -> tuple[pb.GroupSpec, pb.GroupSpec]:
    """Run two groups: one on a machine, and one on the other."""
    specs: list[pb.GroupSpec] = []
    places: dict[str, pb.GroupSpec] = {}
    # Each machine has room for three.
    while len(places) < 2:
        specs.append(model(here, f"{name}-{len(specs)}"))
        here.run(*specs)
        await here.until_serving(specs[-1])
        places = {here.place_of(spec)[0]: spec for spec in specs}
    there = places.pop(machine.address)
    [other] = places.values()
    here.run(there, other)
    await here.until(lambda: len(here.report().groups) == 2, _LONG)
    return there, other


async def lose_a_machine(here: Cluster) -> None:
    """Cut a machine's cable: what is sent there is lost without a word."""
    lost, kept = await on(here, here.other, "cut")
    clock = asyncio.get_running_loop().time
    async with calling(here, lost) as caller, calling(here, kept) as other:
        await caller.until_answer(clock())
        here.other.cut()
        began = clock()
        await here.until(lambda: not here.ready(lost), _LONG)
        here.note("machine cut off, until its replica gets no requests", clock() - began)
        answered = await caller.until_answer(began + 0.5)
        here.note("machine cut off, until its model answers elsewhere", answered - began)
        assert not other.failures
    assert here.place_of(lost) == [here.head.address]
    here.other.kill()
    here.other.mend()
    here.run()
    await here.until(lambda: not here.report().groups, _LONG)
    here.start_other()
    await here.until_machines(2)


async def lose_the_head(here: Cluster) -> None:
    lost, kept = await on(here, here.head, "head")
    clock = asyncio.get_running_loop().time
    async with calling(here, lost) as caller, calling(here, kept) as other:
        await caller.until_answer(clock())
        here.head.kill()
        began = clock()
        await other.until_answer(began + 10)
        assert not other.failures
        # Ray finds the other machine's processes here, and takes the port for used.
        here.port += 1
        here.start_head()
        await here.until_machines(1)
        here.note("head killed, until another one answers", clock() - began)
        answered = await caller.until_answer(began + 0.5)
        here.note("head killed, until its model answers again", answered - began)
        await other.until_answer(answered)
        # Those of the machine whose raylet has lost its head go, and others come.
        await here.until(
            lambda: here.place_of(kept) == here.place_of(lost) == [here.head.address], _LONG
        )
        here.note("head killed, until all is on the new one", clock() - began)
    here.run()
    await here.until(lambda: not here.report().groups, _LONG)
