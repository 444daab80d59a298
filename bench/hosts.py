"""What a request costs by the number of workers, each on a host of its own.

The hosts are network namespaces of this machine, joined by a bridge, so the parts speak as they do
between machines: mutual TLS from worker to control plane and from Envoy to worker, and the provider
over the network. All workers watch one control plane; each number of them has an Envoy of its own.
Needs root and `ip`.
"""

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.children import Child, child, free_address, wait_until_serving
from bench.governed import create_governed_endpoint
from bench.load import Request, closed_loop
from bench.mock_provider import StreamShape
from bench.provider import Provider, running_provider
from bench.report import Table
from bench.rounds import Sample, alternate, sample, spread_of
from bench.system import ADMIN_TOKEN, COMMAND, System
from modelplane.deploy.certificates import CONTROL_PLANE, ENVOY, WORKER
from modelplane.deploy.local.envoy_command import envoy_command

_COLUMNS = (
    *("workers", "connections", "CPU µs", "least", "most", "Envoy µs", "worker µs"),
    *("control plane µs", "requests/s", "p99 ms", "CPUs of others", "failures"),
)
_NETWORK = "10.213.7"
_GATEWAY = f"{_NETWORK}.1"
_BRIDGE = "mpbench"
_CONNECTIONS = (16, 128)
_PARTS = ("Envoy", "worker", "control plane")
_PORT = 9100


@dataclass(frozen=True)
class _Front:
    """An Envoy, and the workers behind it."""

    workers: int
    system: System
    groups: Mapping[str, Sequence[int]]


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


@contextmanager
def _hosts(count: int) -> Iterator[list[str]]:
    """Make network namespaces that reach this one and each other, and yield their names."""
    names = [f"{_BRIDGE}{number}" for number in range(count)]
    _ip("link", "add", _BRIDGE, "type", "bridge")
    try:
        _ip("address", "add", f"{_GATEWAY}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for number, name in enumerate(names):
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}o", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}o", "master", _BRIDGE, "up")
            inside = ("netns", "exec", name, "ip")
            _ip(*inside, "address", "add", f"{_address(number)}/24", "dev", "eth0")
            _ip(*inside, "link", "set", "eth0", "up")
            _ip(*inside, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "delete", name), check=False, capture_output=True)
        _ip("link", "delete", _BRIDGE)


def _address(number: int) -> str:
    return f"{_NETWORK}.{10 + number}"


def _certificates(directory: Path, name: str) -> dict[str, str]:
    return {
        "MODELPLANE_TLS_CA": str(directory / "ca.crt"),
        "MODELPLANE_TLS_CERT": str(directory / f"{name}.crt"),
        "MODELPLANE_TLS_KEY": str(directory / f"{name}.key"),
    }


class _Deployment:
    """A control plane here, a worker on each host, and an Envoy here for some of them."""

    def __init__(self, directory: Path, hosts: Sequence[str], stack: AsyncExitStack) -> None:
        self._directory = directory
        self._hosts = hosts
        self._stack = stack
        self._tls = directory / "tls"
        self._api, self._watch = (f"{_GATEWAY}:{port}" for port in (9090, 9091))
        self._control_plane: Child
        self._workers: list[Child] = []

    async def start(self) -> None:
        """Return once all workers serve."""
        command = (COMMAND, "certs", "--dir", str(self._tls), "--hosts", _GATEWAY)
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        settings = {
            **_certificates(self._tls, CONTROL_PLANE),
            "MODELPLANE_DATA_DIR": str(self._directory),
            "MODELPLANE_ADMIN_TOKEN": ADMIN_TOKEN,
            "MODELPLANE_ALLOWED_UPSTREAMS": f"{_NETWORK}.0/24",
            "MODELPLANE_CONTROL_PLANE_LISTEN": self._api,
            "MODELPLANE_SNAPSHOT_LISTEN": self._watch,
            "MODELPLANE_CONTROL_PLANE_METRICS_LISTEN": free_address(),
        }
        self._control_plane = await self._run(COMMAND, "control-plane", settings=settings)
        await wait_until_serving(self._api, self._control_plane)
        for number, host in enumerate(self._hosts):
            self._workers.append(await self._worker(number, host))

    async def _worker(self, number: int, host: str) -> Child:
        journal = self._directory / host
        settings = {
            **_certificates(self._tls, WORKER),
            "MODELPLANE_ALLOWED_UPSTREAMS": f"{_NETWORK}.0/24",
            "MODELPLANE_CONTROL_PLANE": self._watch,
            "MODELPLANE_WORKER_LISTEN": f"{_address(number)}:{_PORT}",
            "MODELPLANE_WORKER_METRICS_LISTEN": f"{_address(number)}:{_PORT + 1}",
            "MODELPLANE_DRAIN_SECONDS": "1",
            "MODELPLANE_JOURNAL_DIR": str(journal),
            "MODELPLANE_PAYLOAD_DIR": str(journal / "payloads"),
        }
        inside = ("ip", "netns", "exec", host)
        return await self._run(*inside, COMMAND, "worker", settings=settings)

    async def front(self, workers: int) -> _Front:
        """Start an Envoy before the first workers, and return once one of them answers."""
        address = free_address()
        listed = ",".join(f"{_address(number)}:{_PORT}" for number in range(workers))
        tls = {
            "ca": self._tls / "ca.crt",
            "cert": self._tls / f"{ENVOY}.crt",
            "key": self._tls / f"{ENVOY}.key",
        }
        options = [f"--worker-tls-{name}={path}" for name, path in tls.items()]
        made = await asyncio.to_thread(
            subprocess.run,
            (
                *(COMMAND, "envoy-config", "--listen", address, "--control-plane", self._api),
                *("--workers", listed, *options),
            ),
            check=True,
            capture_output=True,
        )
        file = self._directory / f"envoy-{workers}.json"
        file.write_bytes(made.stdout)
        envoy = await self._run(*envoy_command(file, "error", 1, None), settings={})
        system = System(f"http://{address}", self._directory, envoy)
        while not await _healthy(system):
            envoy.check()
            await asyncio.sleep(0.05)
        groups = {
            "Envoy": [envoy.pid],
            "worker": [worker.pid for worker in self._workers[:workers]],
            "control plane": [self._control_plane.pid],
        }
        return _Front(workers, system, groups)

    async def _run(self, *command: str, settings: dict[str, str]) -> Child:
        started = child(*command, settings=settings, directory=self._directory)
        return await self._stack.enter_async_context(started)


async def _healthy(system: System) -> bool:
    try:
        return (await system.call("GET", "/health")).status == 200
    except (OSError, ValueError):
        return False


async def measure(counts: Sequence[int], *, rounds: int, seconds: int) -> Table:
    """Measure small governed requests, in alternating rounds.

    Args:
        counts: Numbers of workers.
        rounds: How often each is measured.
        seconds: How long, each time.
    """
    with tempfile.TemporaryDirectory(prefix="modelplane-hosts-") as name:
        directory = Path(name)
        with _hosts(max(counts)) as hosts:
            async with AsyncExitStack() as stack:
                running = running_provider(directory, StreamShape(1), host=_GATEWAY)
                provider = await stack.enter_async_context(running)
                deployment = _Deployment(directory, hosts, stack)
                await deployment.start()
                fronts = [await deployment.front(count) for count in counts]
                headers = await create_governed_endpoint(
                    fronts[0].system, "bench", provider.url, "mock"
                )
                rows: list[list[str | float]] = []
                for connections in _CONNECTIONS:
                    load = _Load(provider, headers, connections, seconds)
                    measured = await alternate(fronts, rounds, load.sample)
                    pairs = zip(fronts, measured, strict=True)
                    rows += [_row(front, connections, samples) for front, samples in pairs]
    title = f"Small governed requests by workers on hosts of their own, {rounds} rounds"
    return Table(title, _COLUMNS, rows)


@dataclass(frozen=True)
class _Load:
    provider: Provider
    headers: Mapping[str, str]
    connections: int
    seconds: int

    async def sample(self, front: _Front) -> Sample:
        url = f"{front.system.url}/serving-endpoints/bench/invocations"
        body = {"messages": [{"role": "user", "content": "Say hello."}]}
        request = Request(url, self.headers, body)
        await closed_loop(request, self.connections, 1)
        load = closed_loop(request, self.connections, self.seconds)
        return await sample(load, front.groups, self.provider)


def _row(front: _Front, connections: int, samples: Sequence[Sample]) -> list[str | float]:
    micros = spread_of([one.micros("request", *_PARTS) for one in samples])
    loads = [one.load for one in samples]
    return [
        *(str(front.workers), str(connections), micros.median, micros.least, micros.most),
        *(median(one.micros("request", part) for one in samples) for part in _PARTS),
        *(median(load.rate for load in loads), median(load.p99 for load in loads) * 1000),
        *(median(one.others for one in samples), str(sum(load.failures for load in loads))),
    ]
