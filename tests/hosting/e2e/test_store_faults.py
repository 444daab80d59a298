"""Hosted models while their control plane cannot write, or is told to change all the time.

The model is the small language model, which starts within a second and needs no environment.
"""

import resource
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests

from modelplane.control_plane.hosting.pool import LEASE_MS
from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System, run_system
from tests.hosting.e2e.deployment import add_foundation_model, language_model, settled, states_of
from tests.hosting.e2e.processes import PAUSE_SECONDS, ask, pid_of, replicas, wait_for

pytestmark = pytest.mark.long

ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
# Longer than a launcher stays the active one without saying so.
_LONG_SECONDS = 2.5 * LEASE_MS / 1000
_READY_SECONDS = 60.0
_CHANGES = 100


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a deployment that serves one model."""
    registry = tmp_path_factory.mktemp("registry")
    add_foundation_model(registry)
    settings = {"MODELPLANE_REGISTRY": f"directory:{registry}"}
    with run_system(tmp_path_factory.mktemp("host") / "data", settings=settings) as system:
        with Rest(system) as rest:
            deploy(rest)
        yield system


@pytest.fixture
def api(host: System) -> Iterator[Rest]:
    with Rest(host) as rest:
        yield rest


def deploy(rest: Rest) -> None:
    """Create the endpoint, once the launcher has come, and wait until it serves."""
    body = {"name": "smol", "config": language_model()}
    deadline = time.monotonic() + _READY_SECONDS
    while (created := rest.send("POST", ENDPOINTS, body)).status_code == 503:
        assert time.monotonic() < deadline, created.text
        time.sleep(0.1)
    assert created.status_code == 200, created.text
    assert set(states_of(settled(rest, "smol")).values()) == {"DEPLOYMENT_READY"}


@contextmanager
def load(host: System) -> Iterator[Counter[int]]:
    """Ask the model by two callers until the end; give how many got each status."""
    statuses: Counter[int] = Counter()
    stop = False

    def one() -> None:
        while not stop:
            statuses[ask(host, "smol", ASKED).status_code] += 1
            time.sleep(PAUSE_SECONDS)

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(one) for _ in range(2)]
        try:
            yield statuses
        finally:
            stop = True
        for each in loads:
            each.result()


@contextmanager
def locked(host: System) -> Iterator[None]:
    """Let nobody else write to the database."""
    connection = sqlite3.connect(host.data_dir / "modelplane.db", isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def full(host: System) -> Iterator[None]:
    """Let the control plane and the launcher write to no file, as on a full disk."""
    limits = {}
    for part in ("control_plane", "launcher"):
        pid = pid_of(host, part)
        assert pid
        limits[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[pid][1]))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def change(api: Rest, path: str = "config", **variables: str) -> requests.Response:
    method = "PUT" if path == "config" else "POST"
    body = language_model(**variables) if path == "config" else {}
    return api.send(method, f"{ENDPOINTS}/smol/{path}", body)


@pytest.mark.parametrize("fault", [locked, full])
def test_models_go_on_while_the_database_cannot_be_written(
    host: System, api: Rest, fault: Callable[[System], AbstractContextManager[None]]
) -> None:
    before, parts = replicas(host), [pid_of(host, part) for part in ("control_plane", "launcher")]
    assert len(before) == 1
    with load(host) as statuses:
        with fault(host):
            end = time.monotonic() + _LONG_SECONDS
            assert "database" in change(api, TURN="never").json()["message"]
            while time.monotonic() < end:
                # Later it is not known either whether there still is a launcher.
                assert change(api, TURN="never").status_code == 503
                time.sleep(0.1)
        # The same processes serve, and the launcher is still the active one, which does as told.
        assert replicas(host) == before
        wait_for(lambda: change(api, TURN=fault.__name__).status_code == 200)
        assert set(states_of(settled(api, "smol")).values()) == {"DEPLOYMENT_READY"}
        wait_for(lambda: len(replicas(host)) == 1)
        assert replicas(host) != before
        count = statuses.total()
        wait_for(lambda: statuses.total() > count + 4)
    assert set(statuses) == {200}
    assert [pid_of(host, part) for part in ("control_plane", "launcher")] == parts


@pytest.mark.parametrize("cancelled", [False, True], ids=["refused", "cancelled"])
def test_groups_do_not_pile_up_in_a_storm_of_changes(
    host: System, api: Rest, *, cancelled: bool
) -> None:
    """Each change would start another process."""
    most = 0
    got: Counter[int] = Counter()
    with load(host) as statuses:
        for number in range(_CHANGES):
            got[change(api, TURN=f"{cancelled}-{number}").status_code] += 1
            if cancelled:
                answer = change(api, "config:cancel")
                assert answer.status_code in (200, 409), answer.text
            most = max(most, groups(host))
        endpoint = settled(api, "smol")
        assert set(states_of(endpoint).values()) == {"DEPLOYMENT_READY"}
        wait_for(lambda: len(replicas(host)) == 1)
    assert set(got) <= {200, 409}, got
    assert got[200] >= (_CHANGES if cancelled else 1)
    # What serves, and what the last change is about.
    assert most <= 2
    assert groups(host) <= 2
    assert set(statuses) == {200}


def groups(host: System) -> int:
    """Return how many groups of replicas there are."""
    path = host.data_dir / "modelplane.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        [count] = connection.execute("SELECT count(*) FROM replica_group").fetchone()
    connection.close()
    return int(count)
