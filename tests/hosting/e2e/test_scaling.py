"""To zero and back, with nobody refused; several replicas; processes that are killed."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import requests

from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import FLOWER, deployed, hosted, messages_of, states_of


def until_zero(api: Rest, name: str) -> None:
    deadline = time.monotonic() + 40
    while True:
        endpoint = api.call("GET", f"{ENDPOINTS}/{name}")
        if set(messages_of(endpoint).values()) == {"Scaled to zero"}:
            break
        assert time.monotonic() < deadline, endpoint
        time.sleep(0.2)
    # That is no fault: it is ready.
    assert endpoint["state"]["ready"] == "READY"
    assert set(states_of(endpoint).values()) == {"DEPLOYMENT_READY"}


def ask(system: System, name: str, body: object = FLOWER) -> requests.Response:
    url = f"{system.url}/serving-endpoints/{name}/invocations"
    return requests.post(url, json=body, headers=system.headers, timeout=60)


def test_a_burst_from_zero_is_answered_whole(host: System, api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    until_zero(api, "iris")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: ask(host, "iris"), range(30)))
    assert [answer.status_code for answer in answers] == [200] * 30
    assert all(answer.json() == {"predictions": [0]} for answer in answers)
    waited = [int(answer.headers["x-modelplane-cold-start"]) for answer in answers]
    assert max(waited) > 0


def test_a_model_without_traffic_sleeps_until_it_is_named(api: Rest) -> None:
    deployed(
        api,
        "two",
        hosted("current", "main.ml.iris"),
        hosted("challenger", "main.ml.params"),
        traffic={
            "routes": [
                {"served_model_name": "current", "traffic_percentage": 100},
                {"served_model_name": "challenger", "traffic_percentage": 0},
            ]
        },
    )
    until_zero(api, "two")
    path = "/serving-endpoints/two/served-models/challenger/invocations"
    answer = api.send("POST", path, {"dataframe_records": [{"x": 1.0}]})
    assert answer.status_code == 200, answer.text
    endpoint = api.call("GET", f"{ENDPOINTS}/two")
    assert messages_of(endpoint)["current"] == "Scaled to zero"


def replicas(system: System) -> list[int]:
    """Return the processes that serve models in a deployment."""
    launcher = orjson.loads((system.data_dir / "up.json").read_bytes())["launcher"]["pid"]
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == launcher and b"serve.py" in line:
            found.append(int(folder.name))
    return found


def test_a_killed_replica_costs_only_what_was_in_it(host: System, api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris", workload_size="Medium"))
    (first, *others) = replicas(host)
    assert others, "Medium has two replicas at least"
    statuses = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, host, "iris") for _ in range(200)]
        os.kill(first, signal.SIGKILL)
        statuses = [future.result().status_code for future in futures]
    lost = [status for status in statuses if status != 200]
    # No more than what it was answering at that moment.
    assert len(lost) <= 4, statuses
    assert ask(host, "iris").status_code == 200


def test_an_update_under_load_loses_nothing(host: System, api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    stop = False
    failures: list[str] = []

    def load() -> int:
        count = 0
        while not stop:
            answer = ask(host, "iris")
            count += 1
            if answer.status_code != 200 or answer.json() != {"predictions": [0]}:
                failures.append(answer.text)
        return count

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        try:
            for version in ("2", "1"):
                served = {"served_entities": [hosted("prod", "main.ml.iris", version)]}
                api.call("PUT", f"{ENDPOINTS}/iris/config", served)
                _until_updated(api, "iris")
        finally:
            stop = True
        count = sum(load.result() for load in loads)
    assert failures == []
    assert count > 0


def _until_updated(api: Rest, name: str) -> None:
    deadline = time.monotonic() + 60
    while api.call("GET", f"{ENDPOINTS}/{name}")["state"]["config_update"] == "IN_PROGRESS":
        assert time.monotonic() < deadline
        time.sleep(0.1)
