"""Bad input of every kind: each gets a 4xx with `error_code` and `message`, none a 5xx or a hang.

Random requests come from hypothesis; the known nasty ones are named.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.e2e import nasty, raw
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity, split
from tests.e2e.system import System
from tests.effort import times
from tests.emulators.openai import OpenAiEmulator

lenient = settings(suppress_health_check=list(HealthCheck))

NAMES = ["changing", "talk", "vectors", "words"]
targets = st.builds(
    lambda prefix, segments, query: (prefix + "/".join(segments) + query).replace(" ", "%20"),
    st.sampled_from(nasty.PREFIXES),
    st.lists(st.sampled_from(nasty.SEGMENTS), max_size=4),
    st.sampled_from(nasty.QUERIES),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
values = st.sampled_from(nasty.VALUES) | json_values
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    st.just(json.dumps(CHAT).encode()),
)


@pytest.fixture(scope="module")
def inhabited(running_system: System, provider: OpenAiEmulator) -> Iterator[System]:
    """Give the system with an endpoint for each task, and one whose settings change."""
    with Rest(running_system) as rest:
        rest.create(endpoint("talk", entity(provider)))
        rest.create(endpoint("changing", entity(provider)))
        words = entity(provider, "words", "gpt-3.5-turbo-instruct", "llm/v1/completions")
        rest.create(endpoint("words", words))
        vectors = entity(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
        rest.create(endpoint("vectors", vectors))
        yield running_system
        for made in rest.call("GET", ENDPOINTS)["endpoints"]:
            rest.call("DELETE", f"{ENDPOINTS}/{made['name']}")


@settings(lenient, max_examples=times(60, 500))
@given(st.sampled_from(nasty.METHODS), targets, bodies)
def test_any_request(inhabited: System, method: bytes, target: str, body: bytes) -> None:
    assume(method != b"DELETE" or not any(name in target for name in NAMES))
    raw.check(raw.send(inhabited, method, target.encode(), body))


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a JSON value, and of the value itself."""
    found = [path]
    children = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, child in children:
        found += places(child, (*path, key))
    return found


def mutated(body: Json, place: tuple[str | int, ...], value: Any, action: str) -> Any:
    """Return a copy of a body with one value replaced, removed, or given a twin."""
    if not place:
        return value
    body = deepcopy(body)
    parent: Any = body
    for key in place[:-1]:
        parent = parent[key]
    if action == "replace":
        parent[place[-1]] = value
    elif action == "remove":
        del parent[place[-1]]
    elif isinstance(parent, list):
        parent.append(value)
    else:
        parent[f"{place[-1]}_"] = value
    return body


def mutations(body: Json) -> st.SearchStrategy[Any]:
    """Return bodies that differ from a valid one in one place."""
    return st.builds(
        mutated,
        st.just(body),
        st.sampled_from(places(body)),
        values,
        st.sampled_from(["replace", "replace", "replace", "remove", "add"]),
    )


REFERENCE = "{{secrets/my_scope/my_openai_api_key}}"
MODEL: Json = {
    "name": "gpt-4",
    "provider": "openai",
    "task": "llm/v1/chat",
    "openai_config": {"openai_api_key": REFERENCE, "openai_api_base": "http://127.0.0.1:1/v1"},
}
CREATION: Json = {
    "name": "mutant",
    "config": {
        "served_entities": [
            {"name": "one", "external_model": MODEL},
            {"name": "two", "external_model": MODEL},
        ],
        "traffic_config": split(one=60, two=40),
    },
    "tags": [{"key": "k", "value": "v"}],
    "rate_limits": [{"calls": 1, "key": "user", "renewal_period": "minute"}],
    "ai_gateway": {
        "usage_tracking_config": {"enabled": True},
        "rate_limits": [{"calls": 1, "renewal_period": "minute"}],
        "guardrails": {"input": {"pii": {"behavior": "NONE"}, "invalid_keywords": []}},
    },
    "email_notifications": {"on_update_success": []},
    "description": "d",
    "route_optimized": False,
}


def post(system: System, method: bytes, path: str, body: object) -> raw.RawAnswer:
    answer = raw.send(system, method, path.encode(), json.dumps(body).encode())
    raw.check(answer)
    return answer


@settings(lenient, max_examples=times(60, 500))
@given(mutations(CREATION))
def test_mutated_creations(inhabited: System, body: Any) -> None:
    answer = post(inhabited, b"POST", ENDPOINTS, body)
    if answer.status == 200:
        name = answer.json()["name"]
        raw.check(raw.send(inhabited, b"GET", f"{ENDPOINTS}/{name}".encode()))
        deleted = raw.send(inhabited, b"DELETE", f"{ENDPOINTS}/{name}".encode())
        assert deleted.status == 200


SETTINGS: list[tuple[bytes, str, Json]] = [
    (b"PATCH", f"{ENDPOINTS}/changing/tags", {"add_tags": [{"key": "a"}], "delete_tags": ["b"]}),
    (b"PUT", f"{ENDPOINTS}/changing/rate-limits", {"rate_limits": CREATION["rate_limits"]}),
    (b"PUT", f"{ENDPOINTS}/changing/ai-gateway", CREATION["ai_gateway"]),
    (b"PATCH", f"{ENDPOINTS}/changing/notifications", {"email_notifications": {}}),
    (b"PUT", f"{ENDPOINTS}/changing/config", CREATION["config"] | {"served_models": []}),
    (b"POST", f"{ENDPOINTS}/changing/config:rollback", {"config_version": 9}),
    (b"POST", "/api/2.0/secrets/put", {"scope": "my_scope", "key": "k", "string_value": "v"}),
    (b"POST", "/api/2.0/secrets/delete", {"scope": "my_scope", "key": "k"}),
    (b"POST", "/api/2.0/secrets/scopes/delete", {"scope": "nowhere"}),
]


@pytest.mark.parametrize(
    ("method", "path", "body"), SETTINGS, ids=[path.rsplit("/")[-1] for _, path, _ in SETTINGS]
)
@lenient
@given(data=st.data())
def test_mutated_settings(
    inhabited: System, data: st.DataObject, method: bytes, path: str, body: Json
) -> None:
    post(inhabited, method, path, data.draw(mutations(body)))


TOOLS: Json = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
}
QUERY: list[tuple[str, Json]] = [
    ("/serving-endpoints/talk/invocations", CHAT | TOOLS | {"n": 1, "stop": ["x"]}),
    ("/serving-endpoints/talk/invocations", CHAT | {"stream": True, "stream_options": {}}),
    ("/serving-endpoints/talk/invocations", CHAT | {"extra_params": {"user": "u"}}),
    ("/serving-endpoints/words/invocations", {"prompt": ["x"], "max_tokens": 5, "echo": True}),
    ("/serving-endpoints/vectors/invocations", {"input": ["x"], "encoding_format": "base64"}),
    ("/serving-endpoints/chat/completions", CHAT | {"model": "talk"}),
    ("/serving-endpoints/completions", {"model": "words", "prompt": "x", "stream": True}),
    ("/serving-endpoints/embeddings", {"model": "vectors", "input": [[1, 2]], "dimensions": 8}),
]


@pytest.mark.parametrize(("path", "body"), QUERY)
@lenient
@given(data=st.data())
def test_mutated_queries(inhabited: System, data: st.DataObject, path: str, body: Json) -> None:
    post(inhabited, b"POST", path, data.draw(mutations(body)))


@pytest.mark.parametrize("case", nasty.BODIES)
@pytest.mark.parametrize(
    "path",
    [
        ENDPOINTS,
        "/serving-endpoints/talk/invocations",
        "/serving-endpoints/chat/completions",
        "/api/2.0/secrets/put",
    ],
)
def test_nasty_bodies(inhabited: System, path: str, case: str) -> None:
    answer = raw.send(inhabited, b"POST", path.encode(), nasty.BODIES[case])
    raw.check(answer)
    assert 400 <= answer.status < 500


@pytest.mark.parametrize(
    "target",
    nasty.TARGETS,
)
def test_nasty_targets(inhabited: System, target: bytes) -> None:
    answer = raw.send(inhabited, b"GET", target)
    raw.check(answer)
    assert answer.status in (200, 400, 404)
    assert "x-injected" not in answer.headers


def test_nasty_headers(inhabited: System) -> None:
    path = ENDPOINTS.encode()
    long_header = raw.send(inhabited, b"GET", path, headers=(b"X-Long: " + b"x" * 200_000,))
    assert 400 <= long_header.status < 500
    forged = (
        b"x-modelplane-http-status: 200",
        b"x-modelplane-error-code: X",
        b"x-modelplane-principal: admin",
        b"grpc-timeout: 1n",
        b"grpc-encoding: nonsense",
        b"te: trailers",
    )
    answer = raw.send(inhabited, b"GET", path, headers=forged)
    raw.check(answer)
    refused = raw.send(inhabited, b"GET", path + b"/nowhere", headers=forged)
    raw.check(refused)
    assert refused.status == 404


def test_the_system_is_well_after_all_that(inhabited: System) -> None:
    with Rest(inhabited) as rest:
        assert [item["name"] for item in rest.call("GET", ENDPOINTS)["endpoints"]] == NAMES
        assert rest.query("talk", CHAT).status_code == 200


@pytest.mark.parametrize("request_id", [b"\xc3\xa9", b"\xff", b"a\tb", b"a b", b"x" * 200])
def test_a_request_id_that_cannot_be_one_takes_nothing_from_a_change(
    inhabited: System, request_id: bytes
) -> None:
    name = f"id-{request_id.hex()[:12]}"
    header = (b"x-request-id: " + request_id,)
    body = json.dumps({"name": name}).encode()
    created = raw.send(inhabited, b"POST", ENDPOINTS.encode(), body, header)
    assert created.status == 200
    assert created.json()["name"] == name
    gone = raw.send(inhabited, b"DELETE", f"{ENDPOINTS}/{name}".encode(), b"", header)
    assert gone.status == 200
