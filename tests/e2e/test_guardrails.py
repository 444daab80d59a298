"""Guardrails through the running system: configured over REST, in force on every worker."""

import json

import pytest

from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.test_usage import TRACKED, ended
from tests.emulators.openai import Fault, OpenAiEmulator

MAIL = "john@example.com"
GUARDRAILS: Json = {
    "input": {"pii": {"behavior": "MASK"}, "invalid_keywords": ["blue falcon"]},
    "output": {"pii": {"behavior": "MASK"}},
}


def asking(content: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("path", ["invocations", "served-models/chat/invocations"])
def test_requests_and_answers_are_looked_through(
    rest: Rest, provider: OpenAiEmulator, path: str
) -> None:
    rest.create(endpoint("guarded", entity(provider)) | {"ai_gateway": {"guardrails": GUARDRAILS}})
    stored = rest.call("GET", f"{ENDPOINTS}/guarded/ai-gateway")["guardrails"]
    assert stored["input"] == GUARDRAILS["input"] | {"valid_topics": []}
    answer = rest.call("POST", f"/serving-endpoints/guarded/{path}", asking(f"I am {MAIL}"))
    assert provider.requests[-1].body["messages"][0]["content"] == "I am <EMAIL_ADDRESS>"
    assert answer["input_guardrail"][0]["pii_detection"]
    blocked = rest.send("POST", f"/serving-endpoints/guarded/{path}", asking("The Blue Falcon"))
    assert blocked.status_code == 400
    told = json.loads(blocked.json()["message"])
    assert told["finishReason"] == "input_guardrail_triggered"
    assert told["input_guardrail"][0]["flagged"]
    rest.call("PUT", f"{ENDPOINTS}/guarded/ai-gateway", {})
    answer = rest.call("POST", f"/serving-endpoints/guarded/{path}", asking(f"I am {MAIL}"))
    assert "input_guardrail" not in answer
    assert provider.requests[-1].body["messages"][0]["content"] == f"I am {MAIL}"


def test_policies_hold_and_are_tried(rest: Rest, provider: OpenAiEmulator) -> None:
    """Policies and judges through the running system, and what a check says of them."""
    for name in ("guarded", "guard"):
        rest.create(endpoint(name, entity(provider)))
    policies: list[Json] = [
        {
            "name": "mail",
            "pii": {"entities": ["EMAIL_ADDRESS"]},
            "action": "pseudonym",
        },
        {"name": "words", "keywords": {"words": ["falcon"]}},
    ]
    stored = rest.call("PUT", f"{ENDPOINTS}/guarded/policies", {"policies": policies})
    assert stored == rest.call("GET", f"{ENDPOINTS}/guarded/policies")
    assert [policy["name"] for policy in stored["policies"]] == ["mail", "words"]
    rest.call("POST", "/serving-endpoints/guarded/invocations", asking(f"I am {MAIL}"))
    content = provider.requests[-1].body["messages"][0]["content"]
    assert content.startswith("I am <EMAIL_ADDRESS_")
    check = "/serving-endpoints/guardrails/check"
    told = rest.call("POST", check, {"name": "guarded", "text": f"{MAIL}, falcon"})
    assert told["action"] == "BLOCK"
    assert [found["kind"] for found in told["findings"]] == ["EMAIL_ADDRESS", "INVALID_KEYWORD"]
    rest.call("PUT", f"{ENDPOINTS}/guarded/policies", {"policies": []})
    judge = {"endpoint_name": "guard", "form": "llama_guard"}
    gateway = {"guardrails": {"input": {"safety": True}, "judge": judge}}
    rest.call("PUT", f"{ENDPOINTS}/guarded/ai-gateway", gateway)
    # What the emulated model says is no verdict.
    refused = rest.send("POST", "/serving-endpoints/guarded/invocations", asking("Hi"))
    assert refused.status_code == 503
    assert "gave no verdict" in refused.json()["message"]


def test_a_judge_that_only_logs_holds_up_nothing(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("silent", entity(provider, "silent", "gpt-4o")))
    rest.create(endpoint("watched", entity(provider, "gpt"), ai_gateway=TRACKED))
    judge = {"endpoint_name": "silent", "form": "llama_guard", "timeout_seconds": 1}
    policies = [{"name": "watch", "mode": "log", "judge": judge}]
    rest.call("PUT", f"{ENDPOINTS}/watched/policies", {"policies": policies})
    provider.faults.put("gpt-4o", Fault("stall"))
    assert rest.call("POST", "/serving-endpoints/watched/invocations", asking("Hi"))["choices"]
    [row] = ended(rest, "watched", 1)
    assert row["guardrail_action"] == "none"
