"""Which hosts count, as the launcher of a cluster sees it."""

from collections.abc import Callable, Mapping, Sequence

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.cluster import hosts, launcher
from modelplane.launcher.cluster.cluster import Identity, Registered, Seen
from modelplane.launcher.cluster.launcher import ClusterLauncher

GROUP = "a" * 32


class Nothing:
    """A cluster that has one host, and does nothing."""

    async def watch(self, changed: Callable[[], None]) -> None:
        raise NotImplementedError

    async def keep(self, specs: Sequence[pb.GroupSpec], registered: Registered) -> None:
        raise NotImplementedError

    def seen(self) -> Mapping[str, Seen]:
        return {GROUP: Seen(frozenset({"pod"}))}

    def capacity(self) -> pb.Capacity:
        return pb.Capacity()

    async def identify(self, token: str) -> Identity:
        raise NotImplementedError


async def test_no_host_is_lost_while_the_launcher_itself_did_not_run() -> None:
    now = 100.0

    def clock() -> float:
        return now

    here = ClusterLauncher(Nothing())
    here._clock, here._looked_at = clock, now
    host = here.find(Identity("pod", GROUP))
    host._clock = clock
    assert host.enter()

    def counts() -> bool:
        here._forget()
        return "pod" in here._hosts

    assert counts()
    now += 10 * hosts._SILENT_SECONDS
    assert counts()
    # From here on it could be heard, and is not.
    until = now + hosts._SILENT_SECONDS
    while now + launcher._TICK_SECONDS < until:
        now += launcher._TICK_SECONDS
        assert counts()
    now += 2 * launcher._TICK_SECONDS
    assert not counts()
