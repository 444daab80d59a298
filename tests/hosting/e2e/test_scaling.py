"""To zero and back, with nobody refused; several replicas; processes that are killed."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import deployed, hosted, messages_of, settled, states_of
from tests.hosting.e2e.processes import PAUSE_SECONDS, ask, only_replicas, replicas, wait_for


def until_zero(api: Rest, name: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        endpoint = api.call("GET", f"{ENDPOINTS}/{name}")
        if set(messages_of(endpoint).values()) == {"Scaled to zero"}:
            break
        assert time.monotonic() < deadline, endpoint
        time.sleep(0.2)
    # That is no fault: it is ready.
    assert endpoint["state"]["ready"] == "READY"
    assert set(states_of(endpoint).values()) == {"DEPLOYMENT_READY"}


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


def test_a_stopped_endpoint_has_no_process_until_it_is_started(host: System, api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris", scale_to_zero_enabled=False))
    only_replicas(host, 1)
    stopped = api.call("POST", f"{ENDPOINTS}/iris/config:stop", {})
    assert stopped["state"] == {
        **stopped["state"],
        "ready": "NOT_READY",
        "config_update": "NOT_UPDATING",
    }
    assert states_of(stopped) == {"prod": "DEPLOYMENT_STOPPED"}
    refused = ask(host, "iris")
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_STATE")
    assert "it is stopped; start it with config:start" in refused.json()["message"]
    wait_for(lambda: not replicas(host))
    api.call("POST", f"{ENDPOINTS}/iris/config:start", {})
    started = settled(api, "iris")
    assert (started["state"]["ready"], started["config"]["config_version"]) == ("READY", 2)
    assert ask(host, "iris").json() == {"predictions": [0]}


def test_a_killed_replica_costs_only_what_was_in_it(host: System, api: Rest) -> None:
    entity = hosted("prod", "main.ml.iris", workload_size="Medium", scale_to_zero_enabled=False)
    deployed(api, "iris", entity)
    first, _ = only_replicas(host, 2)
    statuses = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, host, "iris") for _ in range(200)]
        os.kill(first, signal.SIGKILL)
        statuses = [future.result().status_code for future in futures]
    lost = [status for status in statuses if status != 200]
    # No more than what it was answering at that moment, and each of the two workers may send one
    # more over a connection that it kept, before it notices.
    assert len(lost) <= 4 + 2, statuses
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
            time.sleep(PAUSE_SECONDS)
        return count

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        try:
            for version in ("2", "1"):
                served = {"served_entities": [hosted("prod", "main.ml.iris", version)]}
                api.call("PUT", f"{ENDPOINTS}/iris/config", served)
                settled(api, "iris")
        finally:
            stop = True
        count = sum(load.result() for load in loads)
    assert failures == []
    assert count > 0
