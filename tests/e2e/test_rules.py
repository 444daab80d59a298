"""Every rule that a caller can break, over REST: what is refused, how, and with which words.

The rules of creation are a table of their own, `creation_rules`.
"""

import pytest

from tests.e2e.creation_rules import (
    AZURE,
    BEDROCK,
    CREATION,
    CUSTOM_MODEL,
    INVALID,
    Rule,
    config,
    configured,
    external,
    model,
    named,
    openai,
    served,
    two,
    without,
)
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity, parsed, split
from tests.emulators.openai import OpenAiEmulator


def check(rule: Rule, answer_status: int, body: Json) -> None:
    assert (answer_status, body["error_code"]) == (rule.status, rule.code), body
    for word in rule.words:
        assert word in body["message"], body["message"]


@pytest.mark.parametrize("rule", CREATION, ids=lambda rule: rule.case)
def test_refused_creations(rest: Rest, rule: Rule) -> None:
    answer = rest.send("POST", ENDPOINTS, rule.body)
    check(rule, answer.status_code, parsed(answer))
    assert rest.call("GET", ENDPOINTS) == {"endpoints": []}


@pytest.mark.parametrize(
    "base",
    ["http://169.254.169.254/latest", "http://[::1]:8000/v1", "http://10.0.0.8/", "http://127.2/"],
)
def test_a_url_into_the_deployments_own_network_is_refused(rest: Rest, base: str) -> None:
    body = external(model(**openai(openai_api_base=base)))
    answer = rest.send("POST", ENDPOINTS, body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, INVALID)
    for word in ("openai_api_base", "MODELPLANE_ALLOWED_UPSTREAMS"):
        assert word in answer.json()["message"]


def test_accepted_neighbours_of_refused_creations(rest: Rest) -> None:
    accepted = [
        named("x" * 63),
        named("A-b_9"),
        configured(two(100, 0)),
        configured(two("90", "10")),
        configured(two(50, 50)),
        external(model(**openai(**AZURE))),
        external(model("amazon-bedrock", amazon_bedrock_config=BEDROCK)),
        configured(config(served()), rate_limits=[{"calls": 0, "renewal_period": "minute"}]),
        configured({"served_models": [served()]}),
        configured(config(without(served(), "name"))),
    ]
    for body in accepted:
        made = rest.create(body)
        assert made["state"]["ready"] == "READY", body
        rest.call("DELETE", f"{ENDPOINTS}/{body['name']}")


def test_models_in_the_deprecated_spelling_are_served(rest: Rest, provider: OpenAiEmulator) -> None:
    config = endpoint("old", entity(provider, "spelled"))["config"]
    rest.create({"name": "old", "config": {"served_models": config["served_entities"]}})
    answer = rest.query("old", CHAT)
    assert (answer.status_code, answer.headers["served-model-name"]) == (200, "spelled")


UPDATES: list[Rule] = [
    Rule("nothing", {}, ("served_entities",)),
    Rule("no entities", {"served_entities": []}, ("served_entities",)),
    Rule("no split", config(served("a"), served("b")), ("traffic_config",)),
    Rule("sum of 90", two(50, 40), ("100",)),
    Rule("becomes hosted", config(CUSTOM_MODEL), ("external",)),
    Rule("split over unknown", {"traffic_config": split(zz=100)}, ("zz",)),
    Rule(
        "unknown key",
        config(served(external=model(**openai(openai_api_key="{{secrets/a/b}}")))),
        ("a",),
    ),
]


@pytest.mark.parametrize("rule", UPDATES, ids=lambda rule: rule.case)
def test_refused_updates(rest: Rest, provider: OpenAiEmulator, rule: Rule) -> None:
    made = rest.create(endpoint("rule", entity(provider)))
    answer = rest.send("PUT", f"{ENDPOINTS}/rule/config", rule.body)
    check(rule, answer.status_code, parsed(answer))
    assert rest.call("GET", f"{ENDPOINTS}/rule") == made


GATEWAYS: list[tuple[str, Json, tuple[str, ...]]] = [
    ("no limit", {"rate_limits": [{"renewal_period": "minute"}]}, ("calls", "tokens")),
    ("bad period", {"rate_limits": [{"calls": 1, "renewal_period": "hour"}]}, ("minute",)),
    (
        "group without principal",
        {"rate_limits": [{"calls": 1, "renewal_period": "minute", "key": "user_group"}]},
        ("principal",),
    ),
    (
        "guardrails that need a judge",
        {"guardrails": {"input": {"safety": True}}},
        ("'safety' needs a judge", "MODELPLANE_SAFETY_JUDGE"),
    ),
    (
        "unknown behavior",
        {"guardrails": {"output": {"pii": {"behavior": "HIDE"}}}},
        ("output.pii.behavior 'HIDE' is unknown", "NONE, BLOCK, MASK"),
    ),
    (
        "blank keyword",
        {"guardrails": {"input": {"invalid_keywords": ["x", " "]}}},
        ("input.invalid_keywords has a blank keyword",),
    ),
]
SETTINGS: list[tuple[str, str, Rule]] = [
    ("PATCH", "tags", Rule("tag without key", {"add_tags": [{"value": "v"}]}, ("key",))),
    ("PATCH", "tags", Rule("21", {"add_tags": [{"key": f"k{n}"} for n in range(21)]}, ("20",))),
    *(
        ("PUT", "rate-limits", Rule(case, {"rate_limits": [limit]}, words))
        for case, limit, words in [
            ("no calls", {"renewal_period": "minute"}, ("calls",)),
            ("negative calls", {"calls": -1, "renewal_period": "minute"}, ("calls",)),
            ("no period", {"calls": 1}, ("renewal_period",)),
            ("bad period", {"calls": 1, "renewal_period": "hour"}, ("renewal_period", "minute")),
            ("bad key", {"calls": 1, "renewal_period": "minute", "key": "team"}, ("key", "user")),
        ]
    ),
    *(("PUT", "ai-gateway", Rule(case, body, words)) for case, body, words in GATEWAYS),
]


@pytest.mark.parametrize(
    ("method", "part", "rule"), SETTINGS, ids=[f"{part}: {rule.case}" for _, part, rule in SETTINGS]
)
def test_refused_settings(
    rest: Rest, provider: OpenAiEmulator, method: str, part: str, rule: Rule
) -> None:
    made = rest.create(endpoint("rule", entity(provider)))
    answer = rest.send(method, f"{ENDPOINTS}/rule/{part}", rule.body)
    check(rule, answer.status_code, parsed(answer))
    assert rest.call("GET", f"{ENDPOINTS}/rule") == made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("PUT", "/config"),
        ("PATCH", "/tags"),
        ("PUT", "/rate-limits"),
        ("PUT", "/ai-gateway"),
        ("PUT", "/policies"),
        ("PATCH", "/notifications"),
        ("GET", "/openapi"),
        ("GET", "/metrics"),
        ("GET", "/served-models/chat/build-logs"),
        ("GET", "/served-models/chat/logs"),
        ("GET", "/config-versions"),
        ("GET", "/config-versions/1"),
        ("POST", "/config:cancel"),
        ("POST", "/config:stop"),
        ("POST", "/config:start"),
        ("POST", "/config:rollback"),
    ],
)
def test_an_unknown_endpoint(rest: Rest, method: str, path: str) -> None:
    bodies: dict[str, Json] = {
        "/config": config(served()),
        "/config:rollback": {"config_version": 1},
    }
    body = None if method == "GET" else bodies.get(path, {})
    answer = rest.send(method, f"{ENDPOINTS}/nowhere{path}", body)
    rule = Rule("", {}, ("nowhere",), 404, "RESOURCE_DOES_NOT_EXIST")
    check(rule, answer.status_code, parsed(answer))


def test_a_taken_name(rest: Rest, provider: OpenAiEmulator) -> None:
    body = endpoint("taken", entity(provider))
    rest.create(body)
    answer = rest.send("POST", ENDPOINTS, body)
    rule = Rule("", {}, ("taken",), 409, "RESOURCE_ALREADY_EXISTS")
    check(rule, answer.status_code, parsed(answer))


def test_entities_keep_their_order_and_get_default_names(rest: Rest) -> None:
    unnamed = without(served(external=model(name="claude.v2:1", **openai())), "name")
    made = rest.create(configured(config(unnamed)))
    assert made["config"]["served_entities"][0]["name"] == "claude-v2-1"
    assert made["config"]["traffic_config"]["routes"] == [
        {
            "served_model_name": "claude-v2-1",
            "served_entity_name": "claude-v2-1",
            "traffic_percentage": 100,
        }
    ]


QUERIES: list[Rule] = [
    Rule("no messages", {}, ("messages",)),
    Rule("empty messages", {"messages": []}, ("messages",)),
    Rule("text for messages", {"messages": "hi"}, ("messages",)),
    Rule("prompt for chat", {"prompt": "hi"}, ("messages",)),
    Rule(
        "stream as text",
        {"messages": [{"role": "user", "content": "x"}], "stream": "yes"},
        ("stream",),
    ),
]


@pytest.mark.parametrize("rule", QUERIES, ids=lambda rule: rule.case)
def test_refused_queries(rest: Rest, provider: OpenAiEmulator, rule: Rule) -> None:
    rest.create(endpoint("rule", entity(provider)))
    answer = rest.query("rule", rule.body)
    body = parsed(answer)
    assert answer.status_code == 400, body
    assert body["error_code"] in ("BAD_REQUEST", INVALID)
    for word in rule.words:
        assert word in body["message"]
    assert provider.requests == []


def test_a_body_that_names_another_object_than_the_path_is_refused(
    rest: Rest, provider: OpenAiEmulator
) -> None:
    for name in ("meant", "other"):
        rest.create(endpoint(name, entity(provider)))
    tags = {"add_tags": [{"key": "team"}]}
    answer = rest.send("PATCH", f"{ENDPOINTS}/meant/tags", {"name": "other", **tags})
    check(Rule("", {}, ("meant", "other")), answer.status_code, parsed(answer))
    for name in ("meant", "other"):
        assert not rest.call("GET", f"{ENDPOINTS}/{name}").get("tags")
    rest.call("PATCH", f"{ENDPOINTS}/meant/tags", {"name": "meant", **tags})
    assert rest.call("GET", f"{ENDPOINTS}/meant")["tags"]
