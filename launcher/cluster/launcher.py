"""The backend of a cluster: what should run becomes hosts, and what hosts say becomes the report.

Before: `../service.py`. After: `host_servicer.py`, the lines to hosts; a `Cluster`, which has them.
What runs goes on without this: a launcher that is started anew finds the hosts of the one before,
and says nothing of groups until those had time to register again.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.backend import LogTail
from modelplane.launcher.cluster.cluster import (
    Cluster,
    ClusterAway,
    Identity,
    Registered,
    Seen,
    Stranger,
)
from modelplane.launcher.cluster.group import ClusterGroup
from modelplane.launcher.cluster.hosts import Host
from modelplane.launcher.counts import Counts

_log = logging.getLogger(__name__)

# Time for hosts that run to register with a launcher that is new.
_FINDING_SECONDS = 10.0
_TICK_SECONDS = 0.5
# Later than this, it is this process that did not run: what hosts have said waits to be read.
_LATE_SECONDS = 1.0
# From when a host counts no longer until it is given up: its line may be what is broken.
_LOST_SECONDS = 5.0
# What was done may have been undone by others, without a word.
_AGAIN_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_NOT_ACTIVE = "This launcher is not the active one, or not yet."


class ClusterLauncher:
    """The groups that run on a cluster.

    Attributes:
        changed: Set after each change of what `report` returns; whoever reads it clears it.
        counts: What has become of replicas.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Start nothing yet.

        Args:
            cluster: Has the hosts.
        """
        self.changed = asyncio.Event()
        self.counts = Counts()
        self._cluster = cluster
        self._clock = asyncio.get_running_loop().time
        # None: what should run is not known, or another launcher is the active one.
        self._wanted: dict[str, pb.GroupSpec] | None = None
        self._groups: dict[str, ClusterGroup] = {}
        self._hosts: dict[str, Host] = {}
        # Since when hosts count no longer that the cluster still has.
        self._silent: dict[str, float] = {}
        self._registered = Registered()
        # When hosts were looked at last.
        self._looked_at = self._clock()
        self._to_do = asyncio.Event()
        self._news = asyncio.Event()
        # Until when hosts are waited for that ran before this launcher did.
        self._finding_until: float | None = None

    # What `Service` asks.

    def apply(self, specs: Collection[pb.GroupSpec]) -> None:
        """Let these groups run, and end all others."""
        self._wanted = {spec.id: spec for spec in specs}
        for spec in specs:
            group = self._groups.get(spec.id)
            if group is None:
                self._groups[spec.id] = ClusterGroup(spec, self._clock(), self.counts)
            else:
                group.apply(spec, self._clock())
        for host in self._hosts.values():
            host.notify()
        self._to_do.set()
        self.changed.set()
        self._tell_news()

    def stand_by(self) -> None:
        """Touch nothing: what runs is the other launcher's from now on."""
        self._wanted = None
        self._groups.clear()
        self._finding_until = None
        self._registered = Registered()
        self._tell_news()

    def report(self) -> pb.Report | None:
        """Return all that runs, without logs; None: hosts are still being found."""
        seen = self._cluster.seen()
        if self._wanted is None or seen is None or self._is_finding(seen):
            return None
        return pb.Report(
            groups=[
                group.report(self._reports(identifier), seen.get(identifier, Seen()), self._clock())
                for identifier, group in self._groups.items()
            ],
            capacity=self._capacity(),
        )

    def logs(self) -> "Iterator[tuple[str, pb.LogKind.ValueType, LogTail]]":
        """Yield each log with its group and what it is of."""
        for identifier, group in self._groups.items():
            yield from group.logs(self._hosts_of(identifier))

    async def watch(self) -> None:
        """Look after what runs, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cluster.watch(self._on_seen))
            tasks.create_task(self._keep())
            tasks.create_task(self._tick())

    async def stop(self, seconds: float) -> None:
        """Leave all as it is: it runs without this launcher."""
        del seconds
        self._wanted = None
        self._tell_news()

    # What others ask who scale in its place.

    def wanted(self, group_id: str) -> int | None:
        """Return how many replicas a group should have; None: there is no such group.

        Raises:
            ClusterAway: That is not known here, or not yet.
        """
        if self._wanted is None:
            raise ClusterAway(_NOT_ACTIVE)
        spec = self._wanted.get(group_id)
        return None if spec is None else spec.replicas

    def news(self) -> asyncio.Event:
        """Return what is set once any of that changes."""
        return self._news

    # What `HostServicer` asks.

    async def identify(self, token: str) -> Identity:
        """Return who has a token; see `Cluster.identify`."""
        if self._wanted is None:
            raise ClusterAway(_NOT_ACTIVE)
        identity = await self._cluster.identify(token)
        if identity.group_id not in (self._wanted or {}):
            raise Stranger("The group of this host is not to run any longer.")
        return identity

    def find(self, identity: Identity) -> Host:
        """Return the host that somebody is."""
        host = self._hosts.get(identity.host)
        if host is None or host.identity != identity:
            host = self._hosts[identity.host] = Host(identity, self.changed.set)
        self._silent.pop(identity.host, None)
        return host

    def order(self, host: Host) -> pb.GroupSpec | None:
        """Return what a host is told; None: nothing new."""
        spec = (self._wanted or {}).get(host.identity.group_id)
        if spec is None:
            return None
        order = pb.GroupSpec()
        order.CopyFrom(spec)
        order.replicas = 1
        if host.has_fetched:
            # Whoever speaks for a host once its model runs may be that model.
            order.model.authorization = ""
        group = self._groups.get(spec.id)
        if group is not None and group.is_measured:
            order.calibration_ms = 0
        return order

    # What is done meanwhile.

    def _tell_news(self) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()

    def _is_finding(self, seen: Mapping[str, Seen]) -> bool:
        if self._finding_until is None:
            self._finding_until = self._clock() + _FINDING_SECONDS
        if self._clock() >= self._finding_until:
            return False
        expected = {name for key in self._groups for name in seen.get(key, Seen()).hosts}
        if all(host.report for host in self._of(expected)) and expected <= self._hosts.keys():
            self._finding_until = self._clock()
            return False
        return True

    def _of(self, names: Collection[str]) -> Iterator[Host]:
        return (self._hosts[name] for name in names if name in self._hosts)

    def _hosts_of(self, group_id: str) -> list[Host]:
        found = [host for host in self._hosts.values() if host.identity.group_id == group_id]
        return sorted(found, key=lambda host: host.identity.host)

    def _reports(self, group_id: str) -> list[pb.GroupReport]:
        return [host.report for host in self._hosts_of(group_id) if host.report is not None]

    def _capacity(self) -> pb.Capacity:
        capacity = self._cluster.capacity()
        wanted = (self._wanted or {}).values()
        reserved = sum(spec.replicas * spec.size.memory_bytes for spec in wanted)
        capacity.reserved_memory_bytes = reserved
        return capacity

    def _on_seen(self) -> None:
        self._forget()
        self._to_do.set()
        self.changed.set()

    async def _keep(self) -> None:
        """Have the cluster make what should be so, at each change and now and then."""
        failures = 0
        while True:
            pause = _AGAIN_SECONDS
            self._to_do.clear()
            if self._wanted is not None and self._cluster.seen() is not None:
                try:
                    await self._cluster.keep(list(self._wanted.values()), self._registered)
                    failures = 0
                except ClusterAway as error:
                    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**failures)
                    failures = min(failures + 1, 10)
                    fields = log_fields(reason=str(error), pause_seconds=pause)
                    _log.warning("the cluster does not do what it should", extra=fields)
                    await asyncio.sleep(pause)
                    continue
                except Exception as error:  # noqa: BLE001 - what runs outlives any bug here
                    # Its text stays out: what is wanted holds credentials.
                    fields = log_fields(reason=type(error).__name__)
                    _log.error("the cluster is not kept: a bug", extra=fields)
            with suppress(TimeoutError):
                # `wait_for` may lose a cancellation that comes with the event.
                async with asyncio.timeout(pause):
                    await self._to_do.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._forget()
            if (registered := self._look()) != self._registered:
                self._registered = registered
                self._to_do.set()

    def _look(self) -> Registered:
        """Return what hosts themselves say."""
        since = self._clock() - _LOST_SECONDS
        ready = (
            name
            for name, host in self._hosts.items()
            if host.report and any(map(_is_ready, host.report.replicas))
        )
        lost = (name for name, silent in self._silent.items() if silent <= since)
        seen = self._cluster.seen()
        is_complete = seen is not None and self._wanted is not None and not self._is_finding(seen)
        return Registered(frozenset(ready), frozenset(lost), is_complete)

    def _forgive(self, now: float) -> None:
        """Count the silence of hosts for less where this process did not run meanwhile."""
        late, self._looked_at = now - self._looked_at - _TICK_SECONDS, now
        if late > _LATE_SECONDS:
            for host in self._hosts.values():
                host.forgive(late)

    def _forget(self) -> None:
        """Leave out hosts that are gone, and groups without one that should not run any longer."""
        now, seen = self._clock(), self._cluster.seen()
        self._forgive(now)
        here = None if seen is None else {name for one in seen.values() for name in one.hosts}
        for name, host in list(self._hosts.items()):
            if host.is_gone(now) or (here is not None and name not in here and host.has_left):
                del self._hosts[name]
                self._silent[name] = now
                # One that is silent and comes back has to be known again.
                host.drop()
                self.changed.set()
        if here is not None:
            self._silent = {name: at for name, at in self._silent.items() if name in here}
        if self._wanted is None or seen is None:
            return
        for key in self._groups.keys() - self._wanted.keys():
            if not seen.get(key, Seen()).hosts and not self._hosts_of(key):
                del self._groups[key]
                self.changed.set()


def _is_ready(replica: pb.ReplicaReport) -> bool:
    return replica.phase == pb.REPLICA_PHASE_READY
