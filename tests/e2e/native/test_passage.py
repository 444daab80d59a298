"""A request whose provider speaks its protocol: it passes as it is, and so does the answer."""

from collections.abc import Iterator

import anthropic
import pytest
import requests
from anthropic import Anthropic

from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.anthropic import API_KEY, AnthropicEmulator
from tests.emulators.openai import OpenAiEmulator

CLAUDE = "claude-sonnet-4-5"
CLAUDE_ENTITY: Json = {
    "name": "claude",
    "external_model": {
        "name": CLAUDE,
        "provider": "anthropic",
        "task": "llm/v1/chat",
        "anthropic_config": {
            "anthropic_api_key": "{{secrets/my_anthropic_secret_scope/anthropic_api_key}}"
        },
    },
}
# As no codec would write it: fields of its own, an order and blanks of its own.
BODY = (
    b'{"model" : "sonnet", "max_tokens": 2000 ,"thinking":{"budget_tokens":1024,"type":"enabled"},'
    b'"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],\n'
    b'"messages":[{"role":"user","content":[{"type":"text","text":"hello \\u00e4 there"}]}]%b}'
)


@pytest.fixture
def claude(rest: Rest, anthropic_provider: AnthropicEmulator) -> AnthropicEmulator:
    """Give the emulated Anthropic, behind an endpoint."""
    rest.create(endpoint("sonnet", CLAUDE_ENTITY))
    return anthropic_provider


@pytest.fixture
def client(system: System, claude: AnthropicEmulator) -> Iterator[Anthropic]:
    assert claude.origin
    base = f"{system.url}/ai-gateway/anthropic"
    with Anthropic(auth_token=system.token, base_url=base, max_retries=0) as made:
        yield made


def post(system: System, body: bytes, **headers: str) -> requests.Response:
    fields = {"authorization": f"Bearer {system.token}", "content-type": "application/json"}
    url = f"{system.url}/serving-endpoints/anthropic/v1/messages"
    return requests.post(url, body, headers=fields | headers, timeout=30)


@pytest.mark.parametrize("streams", [False, True])
def test_bytes_pass_both_ways(system: System, claude: AnthropicEmulator, *, streams: bool) -> None:
    body = BODY % (b',"stream":true' if streams else b"")
    answer = post(system, body, **{"anthropic-beta": "context-1m-2025-08-07"})
    assert answer.status_code == 200, answer.text
    sent = claude.requests[-1]
    assert sent.raw == body.replace(b'"sonnet"', f'"{CLAUDE}"'.encode())
    assert sent.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert "authorization" not in sent.headers
    itself = requests.post(
        f"{claude.origin}/v1/messages",
        sent.raw,
        headers={
            "x-api-key": API_KEY,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        },
        timeout=30,
    )
    assert answer.content == itself.content
    assert answer.headers["served-model-name"] == "claude"


def test_usage_and_limits_hold(system: System, rest: Rest, claude: AnthropicEmulator) -> None:
    assert claude.origin
    tracked: Json = {"usage_tracking_config": {"enabled": True}}
    rest.call("PUT", "/api/2.0/serving-endpoints/sonnet/ai-gateway", tracked)
    for streams in (b"", b',"stream":true'):
        assert post(system, BODY % streams).status_code == 200
    limit = {"calls": 1, "key": "endpoint", "renewal_period": "minute"}
    rest.call(
        "PUT", "/api/2.0/serving-endpoints/sonnet/ai-gateway", tracked | {"rate_limits": [limit]}
    )
    assert [post(system, BODY % b"").status_code for _ in range(2)] == [200, 429]
    refused = post(system, BODY % b"")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) > 0


def test_a_providers_error_keeps_its_class(client: Anthropic, claude: AnthropicEmulator) -> None:
    claude.fail(CLAUDE, status=529)
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        client.messages.create(
            model="sonnet", max_tokens=9, messages=[{"role": "user", "content": "a"}]
        )
    body = overloaded.value.body
    assert isinstance(body, dict)
    assert body["error"]["type"] == "overloaded_error"
    claude.faults.clear()
    # Ours would have taken it: what the API refuses, it says itself.
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(
            model="sonnet",
            max_tokens=9,
            messages=[{"role": "user", "content": "a"}],
            extra_body={"no_such_field": 1},
        )


def test_a_fallback_may_speak_another_protocol(
    system: System, rest: Rest, claude: AnthropicEmulator, provider: OpenAiEmulator
) -> None:
    body = endpoint("both", CLAUDE_ENTITY, entity(provider))
    body["ai_gateway"] = {"fallback_config": {"enabled": True}}
    rest.create(body)
    claude.fail(CLAUDE, status=529)
    asked = b'{"model":"both","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    answer = post(system, asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"] == [{"type": "text", "text": "gpt-4 heard: hi"}]
    assert answer.headers["x-modelplane-attempt-errors"].startswith("claude=ProviderUn")
    claude.faults.clear()
