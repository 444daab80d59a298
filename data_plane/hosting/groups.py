"""All groups of replicas that a worker knows.

`../snapshots/watcher.py` puts in what is pushed, `demand.py` tells what is asked of each group.
They belong to one event loop, whose clock is meant wherever there is a time.
"""

import asyncio
from collections.abc import Iterable, Iterator
from random import Random

from modelserving.worker.v1 import hosting_pb2 as pb

from modelplane.data_plane.hosting.group import Group
from modelplane.data_plane.hosting.waiting import HeldBytes


class Groups:
    """All groups that this worker knows, by their identifiers.

    Attributes:
        held: Bytes of all requests that wait.
        stirred: Those of which there may be something to tell.
        news: Set when one of them was not stirred before, or has to be woken.
    """

    def __init__(self, random: Random, max_bytes: int) -> None:
        """Know none.

        Args:
            random: Source of chance.
            max_bytes: Bytes of requests that may wait.
        """
        self.held = HeldBytes(max_bytes)
        self._random = random
        self.stirred: set[Group] = set()
        self.news = asyncio.Event()
        self._groups: dict[str, Group] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait for any of them."""
        return sum(group.waiting for group in self._groups.values())

    def addresses(self) -> Iterator[tuple[str, int]]:
        """Yield hosts and ports of all replicas."""
        for group in self._groups.values():
            for replica in group.replicas:
                host, _, port = replica.address.rpartition(":")
                yield host.strip("[]"), int(port)

    def find(self, group_id: str) -> Group:
        """Return a group; one that is not known yet is waited for."""
        group = self._groups.get(group_id)
        if group is None:
            group = self._groups[group_id] = Group(group_id, self.held, self._random, self.stir)
        return group

    def put(self, messages: Iterable[pb.ReplicaGroup]) -> None:
        """Take over what the control plane says of some groups."""
        for message in messages:
            self.find(message.id).put(message)

    def remove(self, group_ids: Iterable[str]) -> None:
        """Forget groups that are gone."""
        for group_id in group_ids:
            group = self._groups.pop(group_id, None)
            if group is not None:
                group.remove()
                self.stirred.discard(group)

    def keep(self, group_ids: Iterable[str]) -> None:
        """Forget all groups that the control plane has told of but these."""
        kept = set(group_ids)
        known = [group.id for group in self._groups.values() if group.known]
        self.remove(group_id for group_id in known if group_id not in kept)

    def calm(self, group: Group) -> None:
        """Note that there is nothing to tell of a group; one that nobody knows is forgotten."""
        self.stirred.discard(group)
        if not group.known and self._groups.get(group.id) is group:
            del self._groups[group.id]

    def stir(self, group: Group) -> None:
        """Note that there may be something to tell of a group."""
        if group not in self.stirred:
            group.counts.restart(asyncio.get_running_loop().time())
            self.stirred.add(group)
            self.news.set()
        elif group.needs_wake:
            self.news.set()
