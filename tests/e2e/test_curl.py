"""`curl`, as the documents use it, and the corners of HTTP that only a plain client reaches."""

import json
import subprocess
from dataclasses import dataclass

import pytest
import requests

from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator


@dataclass(frozen=True)
class Answer:
    status: int
    body: str

    def json(self) -> Json:
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


def curl(*arguments: str) -> Answer:
    command = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return Answer(int(status), body)


def bearer(system: System) -> list[str]:
    return ["-H", f"Authorization: Bearer {system.token}"]


def test_documented_curl(system: System, rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    answer = curl(
        *("-u", f"token:{system.token}", "-X", "POST", "-H", "Content-Type: application/json"),
        *("-d", json.dumps(CHAT), f"{system.url}/serving-endpoints/talk/invocations"),
    )
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"] == "gpt-4 heard: hello there"


def test_curl_streams(system: System, rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    body = json.dumps(CHAT | {"stream": True})
    url = f"{system.url}/serving-endpoints/talk/invocations"
    answer = curl(*bearer(system), "-N", "-H", "Content-Type: application/json", "-d", body, url)
    assert answer.status == 200
    lines = [line for line in answer.body.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize("suffix", ["", "/", "?", "/?"])
def test_the_collection_with_and_without_slash(
    system: System, rest: Rest, provider: OpenAiEmulator, suffix: str
) -> None:
    body = json.dumps(endpoint("talk", entity(provider)))
    json_body = ["-H", "Content-Type: application/json", "-d", body]
    made = curl(*bearer(system), *json_body, f"{system.url}{ENDPOINTS}{suffix}")
    assert made.status == 200
    assert made.json()["name"] == "talk"
    listed = curl(*bearer(system), f"{system.url}{ENDPOINTS}{suffix}")
    assert [item["name"] for item in listed.json()["endpoints"]] == ["talk"]
    assert rest.call("GET", f"{ENDPOINTS}/talk")["name"] == "talk"


def test_an_empty_query_by_name(system: System, rest: Rest) -> None:
    rest.create({"name": "empty"})
    assert curl(*bearer(system), f"{system.url}{ENDPOINTS}/empty?").status == 200
    deleted = curl(*bearer(system), "-X", "DELETE", f"{system.url}{ENDPOINTS}/empty?")
    assert (deleted.status, deleted.json()) == (200, {})


def test_an_endpoint_without_a_config(rest: Rest, provider: OpenAiEmulator) -> None:
    made = rest.create({"name": "later", "config": None})
    assert made["state"]["ready"] == "NOT_READY"
    assert made["state"]["config_update"] == "NOT_UPDATING"
    assert "config" not in made
    assert "pending_config" not in made
    refused = rest.query("later", CHAT)
    assert refused.status_code in (400, 404, 503)
    rest.call("PUT", f"{ENDPOINTS}/later/config", endpoint("x", entity(provider))["config"])
    assert rest.query("later", CHAT).status_code == 200


@pytest.mark.parametrize("name", ["chat", "completions", "embeddings", "models", "served-models"])
def test_endpoints_named_like_routes(rest: Rest, provider: OpenAiEmulator, name: str) -> None:
    rest.create(endpoint(name, entity(provider)))
    assert rest.query(name, CHAT).status_code == 200
    path = f"/serving-endpoints/{name}/served-models/chat/invocations"
    assert rest.send("POST", path, CHAT).status_code == 200
    body = CHAT | {"model": name}
    assert rest.send("POST", "/serving-endpoints/chat/completions", body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", ENDPOINTS),
        ("PATCH", ENDPOINTS),
        ("DELETE", ENDPOINTS),
        ("POST", f"{ENDPOINTS}/talk"),
        ("GET", f"{ENDPOINTS}/talk/config"),
        ("GET", "/serving-endpoints/talk/invocations"),
        ("DELETE", "/serving-endpoints/chat/completions"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/api/2.0/nowhere"),
        ("GET", "/serving-endpoints"),
        ("POST", "/serving-endpoints/talk"),
        ("OPTIONS", ENDPOINTS),
    ],
)
def test_unknown_paths_and_methods(rest: Rest, method: str, path: str) -> None:
    answer = rest.send(method, path, None if method == "GET" else {})
    assert answer.status_code in (400, 404)


def test_who_may_come_in(
    system: System, rest: Rest, anonymous: requests.Session, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("talk", entity(provider)))
    assert anonymous.get(f"{system.url}/health", timeout=120).status_code == 200
    discovered = anonymous.get(f"{system.url}/.well-known/databricks-config", timeout=120)
    assert discovered.status_code == 200
    assert isinstance(discovered.json(), dict)
    for authorization in ({}, {"Authorization": "Bearer dapi-wrong"}, {"Authorization": "Basic !"}):
        for method, path in [
            ("GET", ENDPOINTS),
            ("GET", f"{ENDPOINTS}/talk"),
            ("POST", "/serving-endpoints/talk/invocations"),
            ("POST", "/serving-endpoints/nowhere/invocations"),
            ("GET", "/serving-endpoints/models"),
            ("GET", "/api/2.0/secrets/scopes/list"),
        ]:
            answer = anonymous.request(
                method,
                system.url + path,
                json=CHAT if method == "POST" else None,
                headers=authorization,
                timeout=120,
            )
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.json()["error_code"] == "UNAUTHENTICATED"
            assert answer.headers["x-request-id"]
