"""Who may write to a connection when the time of a request is over."""

import socket
import time
from collections.abc import Iterator

import pytest

from modelplane.launcher.model_server.evaluation import Evaluation, Watch
from modelplane.launcher.model_server.http1 import Connection


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Connection(ours), theirs
    ours.close()
    theirs.close()


def test_whose_time_is_over_may_not_write(pair: tuple[Connection, socket.socket]) -> None:
    connection, caller = pair
    evaluation = Evaluation(connection, 0.0, b"late")
    evaluation.end()
    assert not evaluation.write(lambda: connection.send(b"answer"))
    assert caller.recv(100) == b"late"
    assert caller.recv(100) == b""


def test_an_answer_that_was_given_is_the_last_word(pair: tuple[Connection, socket.socket]) -> None:
    connection, caller = pair
    evaluation = Evaluation(connection, 0.0, b"late")
    assert evaluation.write(lambda: connection.send(b"answer"))
    # The watch had seen before that the time was over.
    evaluation.end()
    assert not evaluation.is_over
    connection.send(b", next")
    assert caller.recv(100) == b"answer, next"


def test_one_who_is_just_writing_is_left_alone(pair: tuple[Connection, socket.socket]) -> None:
    connection, caller = pair
    evaluation = Evaluation(connection, 0.0, b"late")
    assert evaluation.write(evaluation.end, is_last=False)
    assert not evaluation.is_over
    assert evaluation.deadline > time.monotonic()
    evaluation.end()
    assert caller.recv(100) == b"late"


def test_the_watch_ends_what_is_due_and_counts_it(pair: tuple[Connection, socket.socket]) -> None:
    connection, caller = pair
    watch = Watch()
    later = Evaluation(connection, time.monotonic() + 600, b"never")
    due = Evaluation(connection, time.monotonic() + 0.05, b"late")
    watch.add(later)
    watch.add(due)
    caller.settimeout(20)
    assert caller.recv(100) == b"late"
    while watch.overdue() != 1:
        time.sleep(0.001)
    watch.remove(due)
    assert watch.overdue() == 0
    watch.remove(later)
