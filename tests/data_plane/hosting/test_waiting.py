import asyncio

from modelplane.data_plane.hosting.waiting import HeldBytes, Queue, Ticket, Waiter


def waiter(size: int = 1) -> Waiter:
    turn = asyncio.get_running_loop().create_future()
    return Waiter(Ticket("iris", size, came=0, expires=1), turn)


async def test_first_come_first_served_but_for_those_who_wait_again() -> None:
    held = HeldBytes(100)
    queue = Queue(held)
    first, second, third = waiter(), waiter(), waiter()
    for one in (first, second, third):
        queue.add(one)
    assert queue.next() is first
    queue.add(first)
    queue.leave(second)
    queue.leave(second)
    assert [queue.next(), queue.next()] == [first, third]
    assert (len(queue), held.total) == (0, 0)


async def test_a_group_has_no_more_bytes_than_it_leaves_free() -> None:
    held = HeldBytes(100)
    one, other = Queue(held), Queue(held)
    assert one.has_room(100)
    assert not one.has_room(101)
    while one.has_room(10):
        one.add(waiter(10))
    assert len(one) == 5
    while other.has_room(10):
        other.add(waiter(10))
    assert 2 <= len(other) < 5
    assert held.total <= 100
    one.next()
    assert not one.has_room(20)
