"""Versions of a configuration: updates, their history, comparison and the way back."""

from concurrent.futures import ThreadPoolExecutor

import requests

from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity, split
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator


def served_names(config: Json) -> list[str]:
    return [item["name"] for item in config["served_entities"]]


def test_each_update_is_a_new_version_and_serves_at_once(
    rest: Rest, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("moving", entity(provider, "v1")))
    for version in range(2, 8):
        config = endpoint("x", entity(provider, f"v{version}"))["config"]
        updated = rest.call("PUT", f"{ENDPOINTS}/moving/config", config)
        assert updated["config"]["config_version"] == version
        assert updated["state"]["config_update"] == "NOT_UPDATING"
        assert "pending_config" not in updated
        # Both workers answer in turn; neither may be behind.
        for _ in range(6):
            answer = rest.query("moving", CHAT)
            assert answer.headers["served-model-name"] == f"v{version}"
            assert answer.headers["x-modelplane-config-version"] == str(version)


def test_history_compare_and_rollback(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("past", entity(provider, "first")))
    path = f"{ENDPOINTS}/past"
    rest.call(
        "PUT", f"{path}/config", endpoint("x", entity(provider, "second", "gpt-4o"))["config"]
    )
    listed = rest.call("GET", f"{path}/config-versions")["config_versions"]
    assert [(item["config_version"], item["outcome"]) for item in listed] == [
        (2, "ACTIVE"),
        (1, "SUPERSEDED"),
    ]
    first = rest.call("GET", f"{path}/config-versions/1")
    assert served_names(first["config"]) == ["first"]
    compared = rest.call("GET", f"{path}/config-versions/1:compare?to_version=2")["differences"]
    assert any("first" in str(item) for item in compared)

    rolled = rest.call("POST", f"{path}/config:rollback", {"config_version": 1})
    assert rolled["config"]["config_version"] == 3
    assert served_names(rolled["config"]) == ["first"]
    assert rest.query("past", CHAT).headers["served-model-name"] == "first"


def test_lists_come_in_pages(rest: Rest, provider: OpenAiEmulator) -> None:
    for name in ("page-1", "page-2", "page-3"):
        rest.create(endpoint(name, entity(provider)))
    whole = [item["name"] for item in rest.call("GET", ENDPOINTS)["endpoints"]]
    path, found = f"{ENDPOINTS}?max_results=2", list[str]()
    while path:
        answer = rest.call("GET", path)
        names = [item["name"] for item in answer["endpoints"]]
        assert 0 < len(names) <= 2
        found += names
        token = answer.get("next_page_token")
        path = f"{ENDPOINTS}?max_results=2&page_token={token}" if token else ""
    assert found == whole
    config = endpoint("x", entity(provider, "v2"))["config"]
    rest.call("PUT", f"{ENDPOINTS}/page-1/config", config)
    path = f"{ENDPOINTS}/page-1/config-versions?max_results=1"
    newest = rest.call("GET", path)
    assert [item["config_version"] for item in newest["config_versions"]] == [2]
    oldest = rest.call("GET", f"{path}&page_token={newest['next_page_token']}")
    assert [item["config_version"] for item in oldest["config_versions"]] == [1]
    assert "next_page_token" not in oldest
    refused = rest.send("GET", f"{ENDPOINTS}?max_results=0x")
    assert refused.status_code == 400
    refused = rest.send("GET", f"{ENDPOINTS}?max_results=1001")
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_updates_at_the_same_time(rest: Rest, system: System, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("busy", entity(provider)))

    def update(number: int) -> requests.Response:
        with Rest(system) as client:
            config = endpoint("x", entity(provider, f"v{number}"))["config"]
            return client.send("PUT", f"{ENDPOINTS}/busy/config", config)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(update, range(16)))
    refused = [answer.json()["error_code"] for answer in answers if answer.status_code != 200]
    assert set(refused) <= {"RESOURCE_CONFLICT"}
    assert len(refused) < len(answers)
    made = rest.call("GET", f"{ENDPOINTS}/busy")
    assert made["config"]["config_version"] == 1 + len(answers) - len(refused)
    history = rest.call("GET", f"{ENDPOINTS}/busy/config-versions")["config_versions"]
    assert [item["outcome"] for item in history] == ["ACTIVE"] + ["SUPERSEDED"] * (len(history) - 1)


def test_a_new_split_alone(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("split", entity(provider, "one"), entity(provider, "two")))
    assert {rest.query("split", CHAT).headers["served-model-name"] for _ in range(4)} == {"one"}
    changed = {"traffic_config": split(one=0, two=100)}
    updated = rest.call("PUT", f"{ENDPOINTS}/split/config", changed)
    assert updated["config"]["config_version"] == 2
    assert served_names(updated["config"]) == ["one", "two"]
    assert {rest.query("split", CHAT).headers["served-model-name"] for _ in range(4)} == {"two"}


def test_a_name_can_be_used_again_at_once(rest: Rest, provider: OpenAiEmulator) -> None:
    first = rest.create(endpoint("again", entity(provider, "old")))
    rest.call("DELETE", f"{ENDPOINTS}/again")
    assert rest.query("again", CHAT).status_code == 404
    second = rest.create(endpoint("again", entity(provider, "new")))
    assert second["id"] != first["id"]
    assert second["config"]["config_version"] == 1
    for _ in range(4):
        assert rest.query("again", CHAT).headers["served-model-name"] == "new"


def test_a_changed_secret_is_used_by_the_next_request(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": "turning"})
    secret = {"scope": "turning", "key": "key"}
    rest.call("POST", "/api/2.0/secrets/put", secret | {"string_value": "sk-old"})
    rest.create(endpoint("turning", entity(provider, openai_api_key="{{secrets/turning/key}}")))
    assert rest.query("turning", CHAT).status_code >= 400
    rest.call("POST", "/api/2.0/secrets/put", secret | {"string_value": provider.api_key})
    for _ in range(4):
        assert rest.query("turning", CHAT).status_code == 200
    used = rest.send("POST", "/api/2.0/secrets/delete", secret)
    assert used.status_code == 409
    assert "used by endpoints: 'turning'" in used.json()["message"]
    rest.call("DELETE", f"{ENDPOINTS}/turning")
    rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": "turning"})
