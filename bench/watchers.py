"""Many watching workers in one process, that note when each configuration reached them.

They speak the real watch stream (`protos/modelserving/worker/v1`) and compile nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from modelserving.worker.v1.snapshot_service_pb2 import (
    DESCRIPTOR,
    Ack,
    Hello,
    WatchConfigRequest,
    WatchConfigResponse,
)

from bench.watch_stream import WatchStream

_METHOD = f"/{DESCRIPTOR.services_by_name['SnapshotService'].full_name}/WatchConfig"


class Watchers:
    """A number of watch streams, and the times at which all of them had acknowledged."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._loaded = 0
        # Number of watchers that acknowledged a change, and when the last one did; by the
        # endpoint's identifier, or the secret's name.
        self._acks: dict[str, int] = defaultdict(int)
        self._last_ack: dict[str, float] = {}
        self._moved = asyncio.Event()

    async def wait_loaded(self) -> None:
        """Return once every watcher has the whole snapshot."""
        while self._loaded < self.count:
            self._moved.clear()
            await self._moved.wait()

    def expect(self, name: str) -> None:
        """Forget what was noted about an endpoint or a secret: a change to it comes next."""
        self._acks.pop(name, None)
        self._last_ack.pop(name, None)

    async def wait_acknowledged(self, name: str, messages: int) -> float:
        """Return when the last watcher acknowledged `messages` changes of an endpoint or a secret.

        Returns:
            The time, as `time.perf_counter` tells it.
        """
        while self._acks[name] < self.count * messages:
            self._moved.clear()
            await self._moved.wait()
        return self._last_ack[name]

    async def watch(self, target: str, number: int) -> None:
        """Watch until cancelled.

        Raises:
            ConnectionError: The control plane has ended the stream.
        """
        host, _, port = target.rpartition(":")
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(
            lambda: WatchStream(self._take, _METHOD), host, int(port)
        )
        try:
            hello = Hello(worker_id=f"bench-{number}", build="bench", takes_secrets=True)
            stream.send(WatchConfigRequest(hello=hello).SerializeToString())
            await stream.closed
        finally:
            stream.close()

    def _take(self, stream: WatchStream, message: bytes) -> None:
        response = WatchConfigResponse.FromString(message)
        if response.HasField("snapshot") and response.snapshot.last:
            stream.send(_ack(response.snapshot.revision))
            self._loaded += 1
            self._moved.set()
        elif response.HasField("delta"):
            stream.send(_ack(response.delta.revision))
            delta = response.delta
            changed = [endpoint.id for endpoint in delta.endpoints]
            changed += [secret.name for secret in delta.rotated_secrets]
            for name in changed:
                self._acks[name] += 1
                self._last_ack[name] = time.perf_counter()
            self._moved.set()


@asynccontextmanager
async def watching(targets: Sequence[str], count: int) -> AsyncIterator[Watchers]:
    """Run `count` watchers and yield them once all hold the snapshot.

    Args:
        targets: Control planes, which share them evenly.
        count: How many watch.
    """
    watchers = Watchers(count)
    async with asyncio.TaskGroup() as tasks:
        started = [
            tasks.create_task(watchers.watch(targets[number % len(targets)], number))
            for number in range(count)
        ]
        await watchers.wait_loaded()
        yield watchers
        for task in started:
            task.cancel()


def _ack(revision: int) -> bytes:
    return WatchConfigRequest(ack=Ack(revision=revision)).SerializeToString()
