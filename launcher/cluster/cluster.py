"""What is asked of a cluster: so many hosts of each group, and who somebody is who says to be one.

Asked by `launcher.py`. `../kubernetes` is one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from modelserving.launcher.v1 import launcher_service_pb2 as pb


class ClusterAway(Exception):
    """The cluster does not answer, or does not do what it is asked; the text says why."""


class Stranger(Exception):
    """Who registers is no host that the cluster has started; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has registered.

    Attributes:
        host: Name of the host, which no other one has.
        group_id: Group that it is a host of.
        address: Where alone its replica can be; empty: the cluster does not know.
    """

    host: str
    group_id: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster has of one group.

    Attributes:
        hosts: Names of its hosts, those included that have not registered yet.
        problem: What keeps hosts from coming up, for the group's owner; empty: nothing is known to.
    """

    hosts: frozenset[str] = field(default_factory=frozenset)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known of hosts by what they themselves say.

    Attributes:
        ready: Names of those whose replica takes requests.
        lost: Names of those that have registered once, and have said nothing for long: their
            machine may be gone, before the cluster knows.
        is_complete: Whether those that run have had time to register.
    """

    ready: frozenset[str] = field(default_factory=frozenset)
    lost: frozenset[str] = field(default_factory=frozenset)
    is_complete: bool = False


class Cluster(Protocol):
    """Starts hosts, and replaces those that die."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Keep looking at what there is, until cancelled.

        Args:
            changed: Called after each change of what `seen` returns.
        """

    async def keep(self, specs: Sequence[pb.GroupSpec], registered: Registered) -> None:
        """Let each of these groups have as many hosts as it has replicas, and no other group any.

        Asked once it is known what there is.

        Args:
            specs: Groups.
            registered: What hosts themselves say.

        Raises:
            ClusterAway: That is not so, and is to be asked again.
        """

    def seen(self) -> Mapping[str, Seen] | None:
        """Return what there is of each group; None: that is not known yet."""

    def capacity(self) -> pb.Capacity:
        """Return what replicas may use together."""

    async def identify(self, token: str) -> Identity:
        """Return who has a token.

        Raises:
            Stranger: It is nobody's who is a host here.
            ClusterAway: That cannot be found out now.
        """
