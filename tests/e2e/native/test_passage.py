"""A request whose provider speaks its protocol: it passes as it is, and so does the answer."""

import json
from collections.abc import Iterator

import anthropic
import pytest
import requests
from anthropic import Anthropic
from anthropic.types import Message
from google import genai
from google.genai import types
from modelserving.v1.external_model_pb2 import ExternalModel
from openai import OpenAI
from openai.types.responses import Response

from tests.e2e.references import create_by_reference
from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.e2e.test_limits import in_one_window
from tests.emulators.amazon_bedrock.configs import external_model as bedrock
from tests.emulators.anthropic import API_KEY, AnthropicEmulator
from tests.emulators.fleet import Fleet
from tests.emulators.google_cloud_vertex_ai.external_models import external_model as vertex
from tests.emulators.openai import OpenAiEmulator

CHAT = "llm/v1/chat"
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


def body_for(name: str, more: bytes = b"") -> bytes:
    """Return the body for another endpoint."""
    return (BODY % more).replace(b'"sonnet"', f'"{name}"'.encode())


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
    return requests.post(url, body, headers=fields | headers, timeout=120)


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
        timeout=120,
    )
    assert answer.content == itself.content
    assert answer.headers["served-model-name"] == "claude"


def test_usage_and_limits_hold(system: System, rest: Rest, claude: AnthropicEmulator) -> None:
    assert claude.origin
    tracked: Json = {"usage_tracking_config": {"enabled": True}}
    limit = {"calls": 1, "key": "endpoint", "renewal_period": "minute"}

    def check(name: str) -> None:
        rest.create(endpoint(name, CLAUDE_ENTITY, ai_gateway=tracked))
        for streams in (b"", b',"stream":true'):
            assert post(system, body_for(name, streams)).status_code == 200
        limited = tracked | {"rate_limits": [limit]}
        rest.call("PUT", f"/api/2.0/serving-endpoints/{name}/ai-gateway", limited)
        answers = [post(system, body_for(name)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert answers[-1].json()["error"]["type"] == "rate_limit_error"
        assert int(answers[-1].headers["retry-after"]) > 0

    in_one_window(check)


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


def by_reference(rest: Rest, name: str, model: ExternalModel) -> None:
    create_by_reference(rest, name, "it", model)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        vertex("claude-sonnet-4@20250514", CHAT),
        bedrock("claude-sonnet-4-20250514-v1:0", "anthropic", "chat"),
    ],
    ids=lambda model: model.provider,
)
def test_claude_elsewhere_is_asked_in_its_own_form(
    system: System, rest: Rest, fleet: Fleet, model: ExternalModel, *, streams: bool
) -> None:
    by_reference(rest, "elsewhere", model)
    base = f"{system.url}/ai-gateway/anthropic"
    asked: Json = {
        "model": "elsewhere",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": "hello there"}],
        "extra_headers": {"anthropic-beta": "context-1m-2025-08-07"},
    }
    answer: Message
    with Anthropic(auth_token=system.token, base_url=base, max_retries=0) as client:
        if streams:
            with client.messages.stream(**asked) as stream:
                answer = stream.get_final_message()
        else:
            answer = client.messages.create(**asked)
    (block,) = answer.content
    assert block.type == "text"
    assert "hello there" in block.text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0
    sent = fleet.emulators[model.provider].requests[-1]
    assert "anthropic_version" in sent.body
    assert "model" not in sent.body
    betas = sent.body.get("anthropic_beta", [sent.headers.get("anthropic-beta")])
    assert betas == ["context-1m-2025-08-07"]


@pytest.mark.parametrize("streams", [False, True])
def test_gemini_at_vertex_is_asked_in_its_own_form(
    system: System, rest: Rest, fleet: Fleet, *, streams: bool
) -> None:
    by_reference(rest, "gemini", vertex("gemini-2.5-flash", CHAT))
    options = types.HttpOptions(base_url=f"{system.url}/ai-gateway/gemini")
    config = types.GenerateContentConfig(
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_NONE,
            )
        ]
    )
    with genai.Client(api_key=system.token, http_options=options) as client:
        asked: Json = {"model": "gemini", "contents": "hello there", "config": config}
        if streams:
            events = list(client.models.generate_content_stream(**asked))
            text, usage = "".join(event.text or "" for event in events), events[-1].usage_metadata
        else:
            answer = client.models.generate_content(**asked)
            text, usage = answer.text or "", answer.usage_metadata
    assert "hello there" in text
    assert usage is not None
    assert usage.prompt_token_count
    # No chat has these.
    sent = fleet.emulators["google-cloud-vertex-ai"].requests[-1]
    assert sent.body["safetySettings"][0]["threshold"] == "BLOCK_NONE"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("azure", [False, True])
def test_openai_is_asked_for_responses_as_they_are(
    system: System, rest: Rest, provider: OpenAiEmulator, *, azure: bool, streams: bool
) -> None:
    config = {"openai_api_key": "{{secrets/my_scope/my_openai_api_key}}"}
    if azure:
        config |= {
            "openai_api_type": "azure",
            "openai_api_base": "https://my-azure-openai-endpoint.openai.azure.com",
            "openai_api_version": "2024-10-21",
            "openai_deployment_name": next(iter(provider.deployments)),
        }
    model: Json = {"name": "gpt-4", "provider": "openai", "task": CHAT, "openai_config": config}
    rest.create(endpoint("talk", {"name": "gpt", "external_model": model}))
    asked: Json = {
        "model": "talk",
        "input": "hello there",
        # No chat has this.
        "previous_response_id": "resp_before",
        "extra_headers": {"openai-beta": "responses=v1"},
    }
    base = f"{system.url}/ai-gateway/openai/v1"
    with OpenAI(api_key=system.token, base_url=base, max_retries=0) as client:
        if streams:
            with client.responses.stream(**asked) as stream:
                kinds = [event.type for event in stream]
                answer: Response = stream.get_final_response()
            assert kinds[-1] == "response.completed"
        else:
            answer = client.responses.create(**asked)
    sent = provider.requests[-1]
    assert sent.path.endswith("/v1/responses")
    assert sent.body["previous_response_id"] == "resp_before"
    assert sent.headers["openai-beta"] == "responses=v1"
    assert answer.output_text == f"{sent.body['model']} responds: hello there"
    assert answer.model == sent.body["model"] != "talk"
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


@pytest.mark.parametrize(
    "model",
    [
        vertex("claude-sonnet-4@20250514", CHAT),
        bedrock("claude-sonnet-4-20250514-v1:0", "anthropic", "chat"),
        None,
    ],
    ids=["vertex", "bedrock", "anthropic"],
)
def test_who_is_asked_counts(
    system: System,
    rest: Rest,
    fleet: Fleet,
    claude: AnthropicEmulator,
    model: ExternalModel | None,
) -> None:
    name = "sonnet"
    if model is not None:
        by_reference(rest, name := "elsewhere", model)
    emulator = fleet.emulators[model.provider] if model else claude
    question: Json = {"messages": [{"role": "user", "content": "hello there" * 9}]}
    counting = Anthropic(
        auth_token=system.token, base_url=f"{system.url}/ai-gateway/anthropic", max_retries=0
    )
    with counting as client:
        told = client.messages.with_raw_response.count_tokens(
            model=name, thinking={"type": "enabled", "budget_tokens": 1024}, **question
        )
        assert "count" in emulator.requests[-1].path
        assert "x-modelplane-tokens-estimated" not in told.headers
        usage = client.messages.create(model=name, max_tokens=9, **question).usage
        cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        assert told.parse().input_tokens == usage.input_tokens + cached
        # Where it does not count, an estimate does.
        emulator.fail(status=404)
        told = client.messages.with_raw_response.count_tokens(model=name, **question)
        assert told.headers["x-modelplane-tokens-estimated"] == "true"
        assert told.parse().input_tokens > 10
        emulator.faults.clear()


def test_gemini_counts(system: System, rest: Rest, fleet: Fleet) -> None:
    by_reference(rest, "gemini", vertex("gemini-2.5-flash", CHAT))
    url = f"{system.url}/ai-gateway/gemini/v1beta/models/gemini:"
    headers = {"x-goog-api-key": system.token}
    asked: Json = {"contents": [{"parts": [{"text": "hello there" * 9}]}]}
    answer = requests.post(f"{url}generateContent", json=asked, headers=headers, timeout=120)
    expected = answer.json()["usageMetadata"]["promptTokenCount"]
    for body in (asked, {"generateContentRequest": {"model": "models/gemini", **asked}}):
        told = requests.post(f"{url}countTokens", json=body, headers=headers, timeout=120)
        assert told.json()["totalTokens"] == expected, told.text
        assert "x-modelplane-tokens-estimated" not in told.headers
    assert fleet.emulators["google-cloud-vertex-ai"].requests[-1].path.endswith(":countTokens")


def test_instructions_may_come_later(system: System, rest: Rest, claude: AnthropicEmulator) -> None:
    assert claude.origin
    model = CLAUDE_ENTITY["external_model"] | {"name": "claude-opus-4-8"}
    rest.create(endpoint("opus", CLAUDE_ENTITY | {"external_model": model}))
    turns = [{"role": "user", "content": "hi"}, {"role": "system", "content": "Be brief."}]
    for name, status in (("opus", 200), ("sonnet", 400)):
        body = {"model": name, "max_tokens": 9, "messages": turns}
        answer = post(system, json.dumps(body).encode())
        assert answer.status_code == status, answer.text
    # By these words Claude Code knows that it has to do without.
    assert "role 'system' is not supported" in answer.json()["error"]["message"]


def test_geminis_own_stream_may_be_an_array(system: System, rest: Rest, fleet: Fleet) -> None:
    by_reference(rest, "gemini", vertex("gemini-2.5-flash", CHAT))
    url = f"{system.url}/ai-gateway/gemini/v1beta/models/gemini:streamGenerateContent"
    headers = {"x-goog-api-key": system.token}
    asked: Json = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
    answers = [
        requests.post(url + query, json=asked, headers=headers, timeout=120)
        for query in ("", "?alt=sse")
    ]
    events = [json.loads(event[6:]) for event in answers[1].text.split("\r\n\r\n") if event]
    assert answers[0].json() == events
    vertex_ai = fleet.emulators["google-cloud-vertex-ai"]
    vertex_ai.misbehave("error_event", after_events=1, held=True)
    with requests.post(url, json=asked, headers=headers, timeout=120, stream=True) as answer:
        vertex_ai.resume()
        first, last = answer.json()
    assert first == events[0]
    assert last["error"]["status"] == "INTERNAL"
    vertex_ai.faults.clear()
