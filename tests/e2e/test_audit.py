"""The audit log through Envoy: who changed what, who was refused, and who may read that."""

import json
import time

import grpc
import pytest
import requests
from modelserving.v1.secret_service_pb2 import DeleteScopeRequest
from modelserving.v1.secret_service_pb2_grpc import SecretServiceStub

from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

EVENTS = "/api/2.0/audit-events"
SECRET = "sk-audited-and-never-seen"


def events(rest: Rest, query: str = "") -> list[Json]:
    """Return the events that a query selects."""
    found: list[Json] = rest.call("GET", f"{EVENTS}?{query}")["events"]
    return found


def now_ms() -> float:
    return time.time_ns() / 1e6


@pytest.fixture
def start(rest: Rest) -> float:
    """Give the time before the test."""
    del rest
    return now_ms()


def test_each_change_is_an_event(
    system: System, rest: Rest, provider: OpenAiEmulator, start: float
) -> None:
    rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": "audited"})
    secret = {"scope": "audited", "key": "key", "string_value": SECRET}
    rest.call("POST", "/api/2.0/secrets/put", secret)
    rest.create(endpoint("audited", entity(provider, "gpt")))
    rest.call("PUT", f"{ENDPOINTS}/audited/rate-limits", {"rate_limits": []})
    rest.call("DELETE", f"{ENDPOINTS}/audited")
    with grpc.insecure_channel(system.target) as channel:
        metadata = (("authorization", f"Bearer {system.token}"), ("x-request-id", "by-grpc"))
        SecretServiceStub(channel).DeleteScope(
            DeleteScopeRequest(scope="audited"), metadata=metadata
        )
    # Reading leaves no event.
    rest.call("GET", ENDPOINTS)

    found = events(rest, f"start_time={start}")
    assert [(one["action"], one["object_type"], one["object_name"]) for one in found] == [
        ("DeleteScope", "secret-scope", "audited"),
        ("DeleteServingEndpoint", "serving-endpoint", "audited"),
        ("PutServingEndpointRateLimits", "serving-endpoint", "audited"),
        ("CreateServingEndpoint", "serving-endpoint", "audited"),
        ("PutSecret", "secret", "audited/key"),
        ("CreateScope", "secret-scope", "audited"),
    ]
    for one in found:
        assert (one["principal_name"], one["outcome"], one["http_status"]) == ("admin", "OK", 200)
        assert one["source_address"]
        assert start <= one["time"] <= now_ms()
    assert found[0]["request_id"] == "by-grpc"
    assert found[3]["details"]["config.served_entities[0].external_model.provider"] == "openai"
    assert found[4]["details"] == {"scope": "audited", "key": "key", "string_value": None}
    assert SECRET not in str(found)


def test_each_refusal_is_an_event(system: System, rest: Rest, start: float) -> None:
    rest.send("DELETE", f"{ENDPOINTS}/nowhere")
    with Rest(system, "dapi-of-nobody") as stranger:
        for number in range(30):
            assert stranger.send("DELETE", f"{ENDPOINTS}/n{number}").status_code == 401
    query = f"start_time={start}&outcome=REFUSED"

    def counted() -> bool:
        refused = events(rest, query)
        unknown = sum(one["count"] for one in refused if not one["principal_id"])
        return unknown == 30 and len(refused) < 10

    wait_for(counted)
    [missing] = events(rest, f"{query}&object_name=nowhere")
    assert (missing["action"], missing["outcome"]) == ("DeleteServingEndpoint", "NOT_FOUND")
    assert (missing["http_status"], missing["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert missing["principal_name"] == "admin"
    [unknown, *_] = events(rest, f"start_time={start}&outcome=UNAUTHENTICATED")
    assert unknown["http_status"] == 401
    assert unknown["object_name"] == ""
    assert "dapi-of-nobody" not in str(events(rest, query))


def test_a_change_that_cannot_be_read_is_an_event_of_its_caller(rest: Rest, start: float) -> None:
    wrong = {"rate_limit": [{"principal": SECRET}]}
    assert rest.send("PUT", f"{ENDPOINTS}/unread/ai-gateway", wrong).status_code == 400
    query = f"start_time={start}&object_name=unread"
    wait_for(lambda: len(events(rest, query)) == 1)
    [unread] = events(rest, query)
    assert (unread["action"], unread["principal_name"]) == ("PutServingEndpointAiGateway", "admin")
    assert (unread["http_status"], unread["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert SECRET not in str(unread)


def test_workers_log_and_count_whom_they_refuse(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("guarded", entity(provider, "gpt")))
    with Rest(system, "dapi-of-nobody") as stranger:
        answer = stranger.query("guarded", {"messages": []})
        assert answer.status_code == 401
    request_id = answer.headers["x-request-id"]
    wait_for(lambda: any(one.get("request_id") == request_id for one in _worker_lines(system)))
    [line] = [one for one in _worker_lines(system) if one.get("request_id") == request_id]
    assert (line["status"], line["error"]) == (401, "Unauthenticated")
    state = json.loads((system.data_dir / "up.json").read_text())

    def counted() -> bool:
        pages = [requests.get(one["metrics_url"], timeout=60).text for one in state["workers"]]
        counts = [row for row in "".join(pages).splitlines() if 'status="401"' in row]
        return any(row.startswith("modelplane_requests_total") for row in counts)

    wait_for(counted)


def _worker_lines(system: System) -> list[Json]:
    logs = (system.data_dir / "logs").glob("worker-*.log")
    texts = [line for log in logs for line in log.read_text().splitlines()]
    return [json.loads(text) for text in texts if text.startswith("{") and text.endswith("}")]


def test_pages_hold_everything_once(rest: Rest, start: float) -> None:
    for number in range(7):
        rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": f"page-{number}"})
    query = f"start_time={start}&action=CreateScope&max_results=3"
    names, token = [], ""
    while True:
        page = rest.call("GET", f"{EVENTS}?{query}&page_token={token}")
        names += [one["object_name"] for one in page["events"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == [f"page-{number}" for number in reversed(range(7))]
    for number in range(7):
        rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": f"page-{number}"})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("max_results=0", "max_results"),
        ("max_results=1001", "max_results"),
        ("page_token=x", "page_token"),
        ("page_token=-1", "page_token"),
        ("page_token=" + "9" * 30, "page_token"),
        ("principal=%00", "NUL"),
        ("start_time=x", "start_time"),
    ],
)
def test_bad_queries_are_refused(rest: Rest, query: str, words: str) -> None:
    answer = rest.send("GET", f"{EVENTS}?{query}")
    assert answer.status_code == 400, answer.text
    assert words in answer.text


def test_odd_times_select_nothing(rest: Rest) -> None:
    for query in ("start_time=1e300", "end_time=-1e300", "start_time=NaN", "end_time=-Infinity"):
        answer = rest.send("GET", f"{EVENTS}?{query}")
        assert answer.status_code in (200, 400), (query, answer.text)
        if answer.status_code == 200:
            assert answer.json()["events"] == []
