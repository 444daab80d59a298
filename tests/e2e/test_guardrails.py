"""Guardrails through the running system: configured over REST, in force on every worker."""

import json

import pytest

from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.emulators.openai import OpenAiEmulator

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
