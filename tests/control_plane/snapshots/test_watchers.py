"""The registry of watch streams knows the slowest and the fastest, and tells when they move."""

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.snapshots.watchers import Watcher, Watchers

NAMES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, st.integers(0, 5)),
        st.tuples(st.just("remove"), NAMES, st.just(0)),
        st.tuples(st.just("ack"), NAMES, st.integers(0, 9)),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_counts_as_one_who_looks_at_all(steps: list[tuple[str, str, int]]) -> None:
    watchers = Watchers()
    told: list[tuple[int, int, int]] = []
    state = 0, 0, 0
    current: dict[str, Watcher] = {}
    watchers.on_move(lambda: told.append((len(watchers), watchers.slowest(0), watchers.fastest())))
    for action, name, revision in steps:
        if action == "add":
            current[name] = Watcher(name, "test", revision)
            watchers.add(current[name])
        elif action == "remove" and name in current:
            watchers.remove(current.pop(name))
        elif action == "ack" and name in current:
            watchers.acknowledge(current[name], revision)
        acked = [watcher.acked_revision for watcher in current.values()]
        now = len(acked), min(acked, default=0), max(acked, default=0)
        assert (len(watchers), watchers.slowest(0), watchers.fastest()) == now
        for at in range(10):
            expected = {name for name, item in current.items() if item.acked_revision < at}
            assert {item.worker_id for item in watchers.behind(at)} == expected
        if now != state:
            assert told[-1] == now
        state = now


def test_a_change_that_all_acknowledge_is_told_twice() -> None:
    watchers = Watchers()
    streams = [Watcher(str(number), "test", 1) for number in range(50)]
    for stream in streams:
        watchers.add(stream)
    told = 0

    def count() -> None:
        nonlocal told
        told += 1

    watchers.on_move(count)
    for stream in streams:
        watchers.acknowledge(stream, 2)
    assert told == 2


def test_who_was_replaced_moves_nobody() -> None:
    watchers = Watchers()
    former, now = Watcher("a", "test", 1), Watcher("a", "test", 0)
    watchers.add(former)
    watchers.add(now)
    watchers.acknowledge(former, 9)
    assert (watchers.slowest(7), watchers.fastest()) == (0, 0)
    assert former.dropped
