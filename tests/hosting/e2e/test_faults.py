"""Parts of a deployment that are killed while it hosts models: lost is only what was in flight."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import deployed, hosted
from tests.hosting.e2e.processes import (
    PAUSE_SECONDS,
    ask,
    only_replicas,
    pid_of,
    replicas,
    wait_for,
)


def killed_under_load(host: System, part: str) -> list[int]:
    """Kill a part while four callers ask; return the statuses that they got until it was back."""
    stop = False
    statuses: list[int] = []

    def load() -> None:
        while not stop:
            statuses.append(ask(host, "iris").status_code)
            time.sleep(PAUSE_SECONDS)

    before = pid_of(host, part)
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        try:
            wait_for(lambda: len(statuses) > 20)
            assert before
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: pid_of(host, part) not in (before, None))
            count = len(statuses)
            wait_for(lambda: len(statuses) > count + 20)
        finally:
            stop = True
        for one in loads:
            one.result()
    with Rest(host) as rest:
        wait_for(lambda: rest.send("GET", ENDPOINTS).status_code == 200)
    return statuses


@pytest.fixture
def iris(host: System, api: Rest) -> list[int]:
    """Give the processes of an endpoint that keeps one."""
    deployed(api, "iris", hosted("prod", "main.ml.iris", scale_to_zero_enabled=False))
    return only_replicas(host, 1)


def test_queries_go_on_without_a_control_plane(host: System, iris: list[int]) -> None:
    statuses = killed_under_load(host, "control_plane")
    assert set(statuses) == {200}
    # Nor is a process started anew when it is back.
    assert replicas(host) == iris


def test_a_killed_launcher_takes_its_replicas_along_and_callers_wait(
    host: System, iris: list[int]
) -> None:
    statuses = killed_under_load(host, "launcher")
    lost = [status for status in statuses if status != 200]
    # Four callers had one request each in the processes that went, and each of the two workers may
    # send one more over a connection that it kept, before it notices.
    assert len(lost) <= 4 + 2, statuses
    wait_for(lambda: len(replicas(host)) == 1)
    assert not set(replicas(host)) & set(iris)


def test_a_killed_worker_leaves_replicas_alone(host: System, iris: list[int]) -> None:
    statuses = killed_under_load(host, "worker-1")
    # Those that it was answering.
    assert sum(status != 200 for status in statuses) <= 4, statuses
    assert replicas(host) == iris


def test_a_model_that_hangs_is_told_apart_from_one_that_is_slow(host: System, api: Rest) -> None:
    deployed(api, "slow", hosted("slow", "main.ml.slow"))
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    with ThreadPoolExecutor(12) as pool:
        slow = {"dataframe_records": [{"seconds": 3.0}]}
        waiting = [pool.submit(ask, host, "slow", slow) for _ in range(12)]
        # Others are not held up by what waits for it.
        for _ in range(10):
            assert ask(host, "iris").status_code == 200
        statuses = [one.result().status_code for one in waiting]
    assert set(statuses) == {200}, statuses
