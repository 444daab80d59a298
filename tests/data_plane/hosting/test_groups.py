"""Groups by themselves: what is forgotten, and what a turn that comes too late leaves behind."""

import asyncio
from random import Random

import pytest
from modelserving.worker.v1 import hosting_pb2 as pb
from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigRequest

from modelplane.adapters.shared.egress import parse_policy
from modelplane.data_plane.errors import EntityStarting
from modelplane.data_plane.hosting.demand import Demand
from modelplane.data_plane.hosting.groups import Groups
from modelplane.data_plane.hosting.waiting import Ticket

GROUP = "a" * 32


def groups() -> Groups:
    return Groups(Random(1), 1 << 20)


def ticket(seconds: float = 10) -> Ticket:
    now = asyncio.get_running_loop().time()
    return Ticket("iris", 1, now, now + seconds)


def ready(concurrency: int = 1) -> pb.ReplicaGroup:
    replica = pb.Replica(id="1", address="r:1", concurrency=concurrency)
    return pb.ReplicaGroup(id=GROUP, phase=pb.GROUP_PHASE_READY, replicas=[replica])


async def test_a_group_that_nobody_knows_is_forgotten_once_nobody_waits() -> None:
    known = groups()
    group = known.find(GROUP)
    group.arrive()
    with pytest.raises(EntityStarting):
        await group.take(ticket(0.01))
    sent: list[WatchConfigRequest] = []

    async def send(message: WatchConfigRequest) -> None:
        sent.append(message)

    telling = asyncio.create_task(Demand(known).run(send))
    while known.find(GROUP) is group:
        await asyncio.sleep(0.05)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    # Once that it was asked for, and once that it no longer is.
    assert [message.demand.groups[0].arrivals for message in sent] == [1, 0]


async def test_a_caller_who_leaves_as_their_turn_comes_leaves_the_place_to_the_next() -> None:
    known = groups()
    known.put([ready()])
    group = known.find(GROUP)
    taken = await group.take(ticket())
    leaving = asyncio.create_task(group.take(ticket()))
    waiting = asyncio.create_task(group.take(ticket()))
    await asyncio.sleep(0)
    # The turn comes and the caller goes before the loop gets to either.
    group.give_back(taken)
    leaving.cancel()
    async with asyncio.timeout(120):
        assert await waiting is taken
    assert leaving.cancelled()
    assert (taken.in_flight, group.waiting, known.held.total) == (1, 0, 0)


async def test_who_comes_later_does_not_pass_those_who_wait() -> None:
    known = groups()
    known.put([ready()])
    group = known.find(GROUP)
    taken = await group.take(ticket())
    first = asyncio.create_task(group.take(ticket()))
    await asyncio.sleep(0)
    group.give_back(taken)
    # The place is the first one's, who has not been told yet.
    second = asyncio.create_task(group.take(ticket()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.done()
    assert not second.done()
    group.give_back(await first)
    assert await second is taken


async def test_a_replica_that_stays_keeps_what_is_known_of_it() -> None:
    known = groups()
    known.put([ready(2)])
    group = known.find(GROUP)
    taken = await group.take(ticket())
    group.note_lost(taken)
    assert group.is_cold
    known.put([ready(2)])
    assert not group.is_cold
    assert await group.take(ticket()) is taken
    assert taken.in_flight == 2


async def test_no_provider_is_where_a_replica_is() -> None:
    """Also where the operator allows endpoints to lead to this machine."""
    known = groups()
    here = pb.Replica(id="1", address="127.0.0.1:40001")
    there = pb.Replica(id="2", address="[2001:db8::1]:40002")
    known.put([pb.ReplicaGroup(id=GROUP, phase=pb.GROUP_PHASE_READY, replicas=[here, there])])
    assert list(known.addresses()) == [("127.0.0.1", 40001), ("2001:db8::1", 40002)]
    policy = parse_policy("127.0.0.0/8")

    def allows(address: str, port: int) -> bool:
        return policy.allows("api.example.com", address, port, known.addresses())

    assert not allows("127.0.0.1", 40001)
    assert not allows("127.0.0.2", 40001)
    assert allows("127.0.0.1", 40002)
    known.remove([GROUP])
    assert allows("127.0.0.1", 40001)
