"""A plain REST client for tests, and the bodies that they send.

Every answer passes through `check_shape`: what an error looks like is the same everywhere.
"""

import json
from typing import Any, Self

import requests

from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

Json = dict[str, Any]
ENDPOINTS = "/api/2.0/serving-endpoints"
_SECONDS = 120


class Rest:
    """Calls the REST API as its users' scripts do."""

    def __init__(self, system: System, token: str | None = None) -> None:
        """Call `system` with a token; None: the administrator's."""
        self._url = system.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token or system.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and return the answer, whatever its status.

        The path is sent as it is: nothing in it is normalised.

        Args:
            method: HTTP method.
            path: Path, from the first slash on.
            body: JSON body.
            data: Body as bytes, instead of `body`.
            headers: Headers beside those of every request.
        """
        content = json.dumps(body).encode() if body is not None else data
        headers = {"Content-Type": "application/json"} | (headers or {})
        request = requests.Request(method, self._url, data=content, headers=headers)
        prepared = self._session.prepare_request(request)
        prepared.url = self._url + path
        answer = self._session.send(prepared, timeout=_SECONDS, allow_redirects=False)
        check_shape(answer)
        return answer

    def call(self, method: str, path: str, body: object = None) -> Json:
        """Send a request that must succeed, and return the JSON of its answer."""
        answer = self.send(method, path, body)
        assert answer.status_code == 200, answer.text
        return parsed(answer)

    def create(self, body: Json) -> Json:
        """Create an endpoint."""
        return self.call("POST", ENDPOINTS, body)

    def query(self, name: str, body: Json) -> requests.Response:
        """Query an endpoint."""
        return self.send("POST", f"/serving-endpoints/{name}/invocations", body)


def parsed(answer: requests.Response) -> Json:
    """Return the JSON object that an answer holds."""
    body = answer.json()
    assert isinstance(body, dict)
    return body


def check_shape(answer: requests.Response) -> None:
    """Assert what holds for every answer: a request id, no gRPC leftovers, one shape of errors."""
    assert answer.headers.get("x-request-id"), answer.headers
    leftovers = [
        name
        for name in answer.headers
        if name.lower().startswith(("grpc-", "x-envoy-", "x-modelplane-error", "x-modelplane-http"))
    ]
    assert leftovers == []
    assert answer.status_code < 300 or answer.status_code >= 400
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"].startswith("application/json"), answer.headers
        body = parsed(answer)
        scim = {"schemas", "status", "detail", "scimType"} if "schemas" in body else set()
        assert set(body) <= {"error_code", "message", "details", "error"} | scim
        if "error" in body:
            # For clients of OpenAI's API.
            assert "/serving-endpoints" in answer.url
            assert set(body["error"]) == {"message", "type", "code", "param"}
        assert isinstance(body["error_code"], str)
        assert isinstance(body["message"], str)
        assert body["error_code"].replace("_", "").isupper()
        assert body["message"]


def entity(
    provider: OpenAiEmulator,
    name: str = "chat",
    model: str = "gpt-4",
    task: str = "llm/v1/chat",
    **openai_config: str,
) -> Json:
    """Return a served entity that the emulated provider answers."""
    config = {
        "openai_api_key": "{{secrets/my_scope/my_openai_api_key}}",
        "openai_api_base": provider.url,
    }
    return {
        "name": name,
        "external_model": {
            "name": model,
            "provider": "openai",
            "task": task,
            "openai_config": config | openai_config,
        },
    }


def endpoint(name: str, *entities: Json, **fields: object) -> Json:
    """Return the body that creates an endpoint; the first entity takes all the traffic."""
    config: Json = {"served_entities": list(entities)}
    if len(entities) > 1:
        config["traffic_config"] = split(
            **{item["name"]: 0 if place else 100 for place, item in enumerate(entities)}
        )
    return {"name": name, "config": config, **fields}


def split(**percentages: int) -> Json:
    """Return a traffic config."""
    routes = [
        {"served_model_name": name, "traffic_percentage": share}
        for name, share in percentages.items()
    ]
    return {"routes": routes}


CHAT: Json = {"messages": [{"role": "user", "content": "hello there"}]}
