"""What holds for every query holds on every native route: there is no other way through.

A route that is added and not named here fails the first test.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from modelplane.data_plane.protocols import routes
from modelplane.data_plane.protocols.routes import OPENAI_WAYS
from modelplane.deploy.command.query import QueryError, ask
from tests.e2e.native.speakers import SPEAKERS, Speaker
from tests.e2e.principals import Principals
from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.e2e.test_limits import in_one_window
from tests.e2e.test_usage import ended
from tests.emulators.openai import OpenAiEmulator

MESSAGES, RESPONSES, GEMINI = SPEAKERS
NAME = "everywhere"
TAGS = "databricks-ai-gateway-request-tags"


@dataclass(frozen=True)
class Way:
    """A route, and how it is spoken to."""

    path: str
    speaker: Speaker
    streams: bool = False

    def post(
        self, system: System, body: Json | bytes, name: str = NAME, **headers: str
    ) -> requests.Response:
        """Send a body for an endpoint with the administrator's token, or with other headers."""
        sent = {"authorization": f"Bearer {system.token}"} | headers
        sent = {name: value for name, value in sent.items() if value}
        raw = {"data": body} if isinstance(body, bytes) else {"json": body}
        url = system.url + self.path.replace("NAME", name)
        return requests.post(url, headers=sent, timeout=60, **raw)

    def ask(self, system: System, name: str = NAME, **headers: str) -> requests.Response:
        """Send a question."""
        body = self.speaker.body(name, "hello", streams=self.streams)
        return self.post(system, body, name, **headers)


def ways() -> Iterator[Way]:
    for prefix in ("/serving-endpoints", "/ai-gateway"):
        yield Way(f"{prefix}/anthropic/v1/messages", MESSAGES)
        yield Way(f"{prefix}/gemini/v1beta/models/NAME:generateContent", GEMINI)
        yield Way(
            f"{prefix}/gemini/v1/models/NAME:streamGenerateContent?alt=sse", GEMINI, streams=True
        )
    for way in OPENAI_WAYS:
        yield Way(f"/ai-gateway/{way}/v1/responses", RESPONSES)
    yield Way("/serving-endpoints/responses", RESPONSES)
    yield Way("/serving-endpoints/v1/responses", RESPONSES)


WAYS = tuple(ways())
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.path)
# Routes that answer without a model, or with vectors: the clients' own tests have them.
OTHERWISE_TRIED = (
    "/models",
    "/models/NAME",
    "/count_tokens",
    ":countTokens",
    "mbedContent",
    "mbedContents",
)


@pytest.fixture(autouse=True)
def everywhere(rest: Rest, provider: OpenAiEmulator) -> None:
    tracked: Json = {"usage_tracking_config": {"enabled": True}}
    rest.create(endpoint(NAME, entity(provider), ai_gateway=tracked))


def test_every_route_is_here() -> None:
    # Both versions of the Gemini API are one to the table of routes.
    known = {path.replace("/v1beta/", "/v1/") for path in routes.all_paths()}
    tried = {re.sub(r"\?.*", "", way.path).replace("/v1beta/", "/v1/") for way in WAYS}
    assert tried < known
    assert {path for path in known - tried if not path.endswith(OTHERWISE_TRIED)} == set()


@each_way
def test_who_calls_is_known_and_may(system: System, way: Way) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer nobody"}):
        refused = way.ask(system, **headers)
        assert refused.status_code == 401
        assert refused.json()["error_code"] == "UNAUTHENTICATED"
        assert "access token" in way.speaker.error_text(refused.json()).lower()
    with Principals(system) as people:
        token = people.add_user("stranger@example.com")
        hidden = way.ask(system, authorization=f"Bearer {token}")
        assert (hidden.status_code, hidden.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


@each_way
def test_what_is_no_request_is_refused(system: System, way: Way) -> None:
    for body in (b"no JSON", b"[]", b'{"model": 7}', b'{"model": "everywhere"}'):
        refused = way.post(system, body)
        assert refused.status_code in (400, 404), refused.text
        assert way.speaker.error_text(refused.json()) == refused.json()["message"]
        assert refused.headers["x-request-id"]


@each_way
def test_a_call_counts_once(system: System, rest: Rest, way: Way) -> None:
    answer = way.ask(system, **{TAGS: '{"team": "search"}'})
    assert answer.status_code == 200, answer.text
    assert answer.headers["served-model-name"] == "chat"
    assert answer.headers["x-modelplane-config-version"] == "1"
    [row] = ended(rest, NAME, 1)
    assert row["status_code"] == 200
    assert row["input_token_count"] > 0
    assert row["output_token_count"] > 0
    assert row["usage_context"] == {"team": "search"}


@each_way
def test_limits_hold(system: System, rest: Rest, provider: OpenAiEmulator, way: Way) -> None:
    limit = {"calls": 1, "key": "endpoint", "renewal_period": "minute"}

    def check(name: str) -> None:
        rest.create(endpoint(name, entity(provider), ai_gateway={"rate_limits": [limit]}))
        answered, refused = way.ask(system, name), way.ask(system, name)
        assert (answered.status_code, refused.status_code) == (200, 429)
        assert int(refused.headers["retry-after"]) > 0
        for answer in (answered, refused):
            assert answer.headers["x-ratelimit-limit-requests"] == "1"
            assert answer.headers["x-ratelimit-remaining-requests"] == "0"
            way.speaker.check_limits(answer)
        assert way.speaker.error_text(refused.json()) == refused.json()["message"]

    in_one_window(check)


def test_guardrails_hold_and_payloads_are_recorded(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    """One call is blocked, one passes: each has its row, with the answer in the caller's form."""
    table = {"enabled": True, "catalog_name": "main", "schema_name": "ways"}
    rules = {"input": {"invalid_keywords": ["abracadabra"]}}
    gateway = {"inference_table_config": table, "guardrails": rules}
    rest.call("PUT", f"{ENDPOINTS}/{NAME}/ai-gateway", gateway)
    answers: dict[Way, tuple[requests.Response, requests.Response]] = {}
    for way in WAYS:
        heard = len(provider.requests)
        blocked = way.post(system, way.speaker.body(NAME, "abracadabra", streams=way.streams))
        assert len(provider.requests) == heard, (way.path, blocked.text)
        answered = way.ask(system)
        assert answered.status_code == 200, (way.path, answered.text)
        assert len(provider.requests) == heard + 1
        answers[way] = blocked, answered
    wait_for(lambda: len(recorded(system)) == 2 * len(WAYS))
    rows = recorded(system)
    for way, (blocked, answered) in answers.items():
        refused = rows[blocked.headers["x-request-id"]]
        assert "abracadabra" in refused["request"], way.path
        assert refused["guardrail_action"] == "blocked"
        assert rows[answered.headers["x-request-id"]]["guardrail_action"] == "none"
        response = json.loads(rows[answered.headers["x-request-id"]]["response"])
        assert "hello" in way.speaker.text(response), way.path
        assert way.streams or response == answered.json(), way.path


def recorded(system: System) -> dict[str, Json]:
    """Return the rows of the table, by request; none before it is there."""
    sql = f"select * from main.ways.{NAME}_payload"
    try:
        rows = ask(str(system.data_dir / "tables"), sql)
    except QueryError:
        return {}
    return {row["databricks_request_id"]: row for row in rows}


@each_way
def test_another_entity_is_asked_where_one_fails(
    system: System, rest: Rest, provider: OpenAiEmulator, way: Way
) -> None:
    rest.call("DELETE", f"{ENDPOINTS}/{NAME}")
    both = endpoint(NAME, entity(provider, "first"), entity(provider, "other", "gpt-4o"))
    rest.create(both | {"ai_gateway": {"fallback_config": {"enabled": True}}})
    provider.fail("gpt-4", status=503)
    answer = way.ask(system)
    assert answer.status_code == 200, answer.text
    assert answer.headers["served-model-name"] == "other"
    provider.faults.clear()
