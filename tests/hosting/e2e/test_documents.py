"""The examples about custom models in "Serve multiple models to a model serving endpoint"."""

from tests.e2e.rest import ENDPOINTS, Rest
from tests.hosting.e2e.deployment import FLOWER, settled, states_of
from tests.requirements.documents import printed

ROW = {"dataframe_split": {"columns": ["x"], "data": [[2.0]]}, "params": {"label": "two"}}


def replica_of(rest: Rest, served: str) -> str:
    """Return the start of the service log, which names the process."""
    path = f"{ENDPOINTS}/multi-model/served-models/{served}/logs"
    return str(rest.call("GET", path)["logs"])


def test_two_models_with_signatures_of_their_own(api: Rest) -> None:
    created = api.create(printed("multi_model"))
    # It is answered at once, and says how far it is.
    assert created["state"] == {
        **created["state"],
        "ready": "NOT_READY",
        "config_update": "IN_PROGRESS",
    }
    assert "config" not in created
    assert states_of(created, "pending_config") == {
        "current": "DEPLOYMENT_CREATING",
        "challenger": "DEPLOYMENT_CREATING",
    }
    endpoint = settled(api, "multi-model")
    assert states_of(endpoint) == {"current": "DEPLOYMENT_READY", "challenger": "DEPLOYMENT_READY"}
    routes = endpoint["config"]["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in routes] == [90, 10]

    def served_by(name: str, body: object) -> object:
        path = f"/serving-endpoints/multi-model/served-models/{name}/invocations"
        answer = api.send("POST", path, body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["served-model-name"] == name
        return answer.json()

    assert served_by("current", FLOWER) == {"predictions": [0]}
    assert served_by("challenger", ROW) == {"predictions": [{"scaled": 4.0, "label": "two"}]}
    # The split goes by the call, whatever the models make of it, and by chance.
    shares = [api.query("multi-model", FLOWER).headers.get("served-model-name") for _ in range(40)]
    assert shares.count("current") > 20

    started = {name: replica_of(api, name) for name in ("current", "challenger")}
    changed = printed("multi_model")["config"]
    for route in changed["traffic_config"]["routes"]:
        route["traffic_percentage"] = "50"
    api.call("PUT", f"{ENDPOINTS}/multi-model/config", changed)
    endpoint = settled(api, "multi-model")
    assert endpoint["config"]["config_version"] == 2
    routes = endpoint["config"]["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in routes] == [50, 50]
    # No process was started anew for that.
    for name, log in started.items():
        assert replica_of(api, name).startswith(log[:200])
