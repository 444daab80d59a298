"""What callers see through Envoy when an upstream fails: retries, fallbacks, timeouts, routing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
from modelserving.v1 import model_service_pb2_grpc as pb_grpc
from modelserving.v1.chat_pb2 import ChatMessage, ChatRequest
from openai import OpenAI

from tests.e2e.rest import CHAT, ENDPOINTS, Rest, endpoint, entity, split
from tests.e2e.system import System, run_system
from tests.emulators.openai import API_KEY, OpenAiEmulator

NAME = "guarded"
ATTEMPTS = "x-modelplane-attempts"
ERRORS = "x-modelplane-attempt-errors"
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def client_of(system: System) -> OpenAI:
    # Retries are the gateway's here.
    return OpenAI(base_url=f"{system.url}/serving-endpoints", api_key=system.token, max_retries=0)


@pytest.fixture
def client(system: System) -> Iterator[OpenAI]:
    with client_of(system) as made:
        yield made


def serve(rest: Rest, provider: OpenAiEmulator, **gateway: Any) -> None:
    """Create an endpoint whose traffic goes to `first`; `second` has none."""
    entities = (entity(provider, "first"), entity(provider, "second", model="gpt-4o"))
    body = endpoint(NAME, *entities, ai_gateway=gateway)
    body["config"]["traffic_config"] = split(first=100, second=0)
    rest.create(body)


def ask(client: OpenAI, *, stream: bool = False, **options: Any) -> Any:
    """Return the raw response, read to its end."""
    create = client.chat.completions.with_raw_response.create
    answer = create(model=NAME, messages=CHAT["messages"], stream=stream, **options)
    for _ in answer.parse() if stream else ():
        pass
    return answer


def models_asked(provider: OpenAiEmulator) -> list[str]:
    return [str(request.body["model"]) for request in provider.requests]


@MODES
@pytest.mark.parametrize("status", [429, 503])
def test_another_entity_answers(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI, status: int, *, stream: bool
) -> None:
    serve(rest, provider, fallback_config={"enabled": True}, retry_config={"max_retries": 0})
    provider.fail("gpt-4", status=status)
    answer = ask(client, stream=stream)
    error = "RateLimited" if status == 429 else "ProviderUnavailable"
    assert answer.headers["served-model-name"] == "second"
    assert (answer.headers[ATTEMPTS], answer.headers[ERRORS]) == ("2", f"first={error}")
    assert models_asked(provider) == ["gpt-4", "gpt-4o"]


@MODES
def test_a_refusal_tells_what_was_tried(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI, *, stream: bool
) -> None:
    serve(rest, provider, fallback_config={"enabled": True}, retry_config={"max_retries": 0})
    provider.fail(status=503)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client, stream=stream)
    headers = refused.value.response.headers
    assert refused.value.status_code == 503
    expected = ("2", "first=ProviderUnavailable, second=ProviderUnavailable")
    assert (headers[ATTEMPTS], headers[ERRORS]) == expected


def test_a_callers_mistake_is_asked_once(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI
) -> None:
    serve(rest, provider, fallback_config={"enabled": True})
    provider.fail("gpt-4", status=400)
    with pytest.raises(openai.BadRequestError):
        ask(client)
    assert models_asked(provider) == ["gpt-4"]


def test_the_same_entity_is_asked_again(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI
) -> None:
    serve(rest, provider)
    provider.fail("gpt-4", status=500, times=1)
    answer = ask(client)
    assert answer.headers["served-model-name"] == "first"
    assert (answer.headers[ATTEMPTS], answer.headers[ERRORS]) == ("2", "first=ProviderFailed")


@MODES
def test_a_stalled_upstream_is_left_in_time(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI, *, stream: bool
) -> None:
    fallback = {"enabled": True}
    # The one that answers may take as long: more than it needs on a busy machine.
    serve(rest, provider, fallback_config=fallback, timeout_config={"first_byte_seconds": 2})
    provider.misbehave("stall", "gpt-4")
    answer = ask(client, stream=stream)
    assert answer.headers["served-model-name"] == "second"
    assert answer.headers[ERRORS] == "first=DeadlineExceeded"


def test_settings_hold_when_they_are_put_later_and_are_told(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI
) -> None:
    serve(rest, provider)
    gateway = {
        "fallback_config": {"enabled": True},
        "retry_config": {"max_retries": 0},
        "timeout_config": {"first_byte_seconds": 30.0, "idle_seconds": 5.0},
    }
    told = rest.call("PUT", f"{ENDPOINTS}/{NAME}/ai-gateway", gateway)
    assert told == told | gateway
    assert rest.call("GET", f"{ENDPOINTS}/{NAME}/ai-gateway") == told
    provider.fail("gpt-4", status=500)
    assert ask(client).headers["served-model-name"] == "second"


def test_grpc_callers_are_told_too(rest: Rest, system: System, provider: OpenAiEmulator) -> None:
    serve(rest, provider, fallback_config={"enabled": True}, retry_config={"max_retries": 0})
    provider.fail("gpt-4", status=503)
    request = ChatRequest(model=NAME, messages=[ChatMessage(role="user", text="hello")])
    metadata = (("authorization", f"Bearer {system.token}"),)
    with grpc.insecure_channel(system.target) as channel:
        answer, call = pb_grpc.ModelServiceStub(channel).Chat.with_call(request, metadata=metadata)
        assert answer.choices
        told = dict(call.initial_metadata())
        assert (told["served-model-name"], told[ATTEMPTS]) == ("second", "2")


def test_a_routing_key_finds_the_same_entity_each_time(
    rest: Rest, provider: OpenAiEmulator, client: OpenAI
) -> None:
    entities = (entity(provider, "first"), entity(provider, "second", model="gpt-4o"))
    body = endpoint(NAME, *entities)
    body["config"]["traffic_config"] = split(first=50, second=50)
    rest.create(body)
    served = {}
    for key in map(str, range(12)):
        answers = [ask(client, extra_headers={"x-routing-key": key}) for _ in range(4)]
        [served[key]] = {answer.headers["served-model-name"] for answer in answers}
    assert set(served.values()) == {"first", "second"}


def test_a_broken_upstream_is_left_alone(tmp_path: Path, provider: OpenAiEmulator) -> None:
    provider.faults.clear()
    settings = {"MODELPLANE_CIRCUIT_FAILURES": "5"}
    with (
        run_system(tmp_path / "data", workers=1, settings=settings) as system,
        Rest(system) as rest,
        client_of(system) as client,
    ):
        rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": "my_scope"})
        secret = {"scope": "my_scope", "key": "my_openai_api_key", "string_value": API_KEY}
        rest.call("POST", "/api/2.0/secrets/put", secret)
        serve(rest, provider, retry_config={"max_retries": 0})
        provider.requests.clear()
        provider.fail("gpt-4", status=500)
        for _ in range(5):
            with pytest.raises(openai.InternalServerError):
                ask(client)
        with pytest.raises(openai.InternalServerError) as refused:
            ask(client)
        assert refused.value.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) >= 1
        assert len(provider.requests) == 5
    provider.faults.clear()
