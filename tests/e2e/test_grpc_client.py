"""A gRPC client with the generated stubs, on Envoy's one port: the same semantics as over REST."""

import json
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.api import httpbody_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelserving.v1 import (
    endpoint_pb2,
    endpoint_service_pb2,
    endpoint_service_pb2_grpc,
    external_model_pb2,
    inference_service_pb2,
    inference_service_pb2_grpc,
    secret_service_pb2,
    secret_service_pb2_grpc,
)

from tests.e2e.reflection import reflected
from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System, until_it_is_late, wait_for
from tests.emulators.faults import LONG_PAUSE
from tests.emulators.openai import OpenAiEmulator

_SECONDS = 120.0
Metadata = tuple[tuple[str, str], ...]


@pytest.fixture
def channel(system: System) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(system.target) as opened:
        yield opened


@pytest.fixture
def metadata(system: System) -> Metadata:
    return (("authorization", f"Bearer {system.token}"),)


@pytest.fixture
def endpoints(channel: grpc.Channel) -> endpoint_service_pb2_grpc.EndpointServiceStub:
    return endpoint_service_pb2_grpc.EndpointServiceStub(channel)


@pytest.fixture
def inference(channel: grpc.Channel) -> inference_service_pb2_grpc.InferenceServiceStub:
    return inference_service_pb2_grpc.InferenceServiceStub(channel)


def query(name: str, body: Json, served: str = "") -> inference_service_pb2.QueryRequest:
    payload = httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(body).encode())
    return inference_service_pb2.QueryRequest(name=name, served_model_name=served, payload=payload)


def config(provider: OpenAiEmulator, name: str) -> endpoint_pb2.EndpointConfigInput:
    openai = external_model_pb2.OpenAiConfig(
        openai_api_key_plaintext=provider.api_key, openai_api_base=provider.url
    )
    model = external_model_pb2.ExternalModel(
        name="gpt-4", provider="openai", task="llm/v1/chat", openai_config=openai
    )
    served = endpoint_pb2.ServedEntity(name=name, external_model=model)
    return endpoint_pb2.EndpointConfigInput(served_entities=[served])


def test_life_of_an_endpoint(
    endpoints: endpoint_service_pb2_grpc.EndpointServiceStub,
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    provider: OpenAiEmulator,
) -> None:
    created = endpoints.CreateServingEndpoint(
        endpoint_service_pb2.CreateServingEndpointRequest(
            name="by-grpc", config=config(provider, "one")
        ),
        metadata=metadata,
        timeout=_SECONDS,
    )
    assert created.state.ready == "READY"
    assert created.config.config_version == 1
    model = created.config.served_entities[0].external_model
    assert not model.openai_config.HasField("openai_api_key_plaintext")

    named = endpoint_service_pb2.GetServingEndpointRequest(name="by-grpc")
    assert endpoints.GetServingEndpoint(named, metadata=metadata, timeout=_SECONDS) == created
    updated = endpoints.UpdateServingEndpointConfig(
        endpoint_service_pb2.UpdateServingEndpointConfigRequest(
            name="by-grpc", config=config(provider, "two")
        ),
        metadata=metadata,
        timeout=_SECONDS,
    )
    assert updated.config.config_version == 2
    call = inference.Query(query("by-grpc", CHAT), metadata=metadata, timeout=_SECONDS)
    assert len(list(call)) == 1
    assert dict(call.initial_metadata())["served-model-name"] == "two"

    listed = endpoints.ListServingEndpoints(
        endpoint_service_pb2.ListServingEndpointsRequest(), metadata=metadata, timeout=_SECONDS
    )
    assert [item.name for item in listed.endpoints] == ["by-grpc"]
    endpoints.DeleteServingEndpoint(
        endpoint_service_pb2.DeleteServingEndpointRequest(name="by-grpc"),
        metadata=metadata,
        timeout=_SECONDS,
    )
    with pytest.raises(grpc.RpcError) as gone:
        endpoints.GetServingEndpoint(named, metadata=metadata, timeout=_SECONDS)
    assert gone.value.code() == grpc.StatusCode.NOT_FOUND


def test_query(
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
) -> None:
    rest.create(endpoint("talk", entity(provider), entity(provider, "other", "gpt-4o")))
    call = inference.Query(query("talk", CHAT), metadata=metadata, timeout=_SECONDS)
    (answer,) = call
    assert answer.content_type == "application/json"
    text = json.loads(answer.data)["choices"][0]["message"]["content"]
    assert text == "gpt-4 heard: hello there"
    headers = dict(call.initial_metadata())
    assert headers["x-modelplane-config-version"] == "1"
    assert headers["x-request-id"]

    named = inference.Query(query("talk", CHAT, "other"), metadata=metadata, timeout=_SECONDS)
    assert b"gpt-4o heard" in next(iter(named)).data
    assert dict(named.initial_metadata())["served-model-name"] == "other"

    body = CHAT | {"model": "talk"}
    payload = httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(body).encode())
    asked = inference_service_pb2.OpenAiRequest(payload=payload)
    openai_style = inference.CreateChatCompletion(asked, metadata=metadata, timeout=_SECONDS)
    assert b"heard: hello there" in next(iter(openai_style)).data


def test_streamed_query(
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
) -> None:
    rest.create(endpoint("talk", entity(provider)))
    asked = query("talk", CHAT | {"stream": True})
    messages = list(inference.Query(asked, metadata=metadata, timeout=_SECONDS))
    assert messages[0].content_type.startswith("text/event-stream")
    events = b"".join(message.data for message in messages).split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == "gpt-4 heard: hello there"


@pytest.mark.parametrize(("kind", "streamed"), [("stall", False), ("stall_stream", True)])
def test_cancellation_and_deadline_reach_the_provider(
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
    kind: str,
    *,
    streamed: bool,
) -> None:
    rest.create(endpoint("slow", entity(provider)))
    provider.misbehave(kind, "gpt-4", after_events=1)  # type: ignore[arg-type]
    asked = query("slow", CHAT | {"stream": streamed})

    before, seen = provider.cancelled, len(provider.requests)
    call = inference.Query(asked, metadata=metadata, timeout=_SECONDS)
    wait_for(lambda: len(provider.requests) == seen + 1)
    call.cancel()
    wait_for(lambda: provider.cancelled == before + 1)

    def ask(seconds: float) -> None:
        with pytest.raises(grpc.RpcError) as late:
            list(inference.Query(asked, metadata=metadata, timeout=seconds))
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    until_it_is_late(provider, ask)


def test_a_stream_that_breaks_ends_with_an_event_and_the_status_of_it(
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
) -> None:
    rest.create(endpoint("broken", entity(provider)))
    provider.misbehave("truncate", "gpt-4", after_events=1)
    came: list[bytes] = []
    call = inference.Query(query("broken", CHAT | {"stream": True}), metadata=metadata)
    with pytest.raises(grpc.RpcError) as broken:
        came.extend(message.data for message in call)
    assert broken.value.code() == grpc.StatusCode.UNAVAILABLE
    last = b"".join(came).split(b"\n\n")[-2]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert (error["code"], error["message"]) == ("TEMPORARILY_UNAVAILABLE", broken.value.details())


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, dict[str, str], str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    error = refused.value
    assert isinstance(error, grpc.Call)
    trailing = {key: str(value) for key, value in error.trailing_metadata() or ()}
    return error.code(), trailing, error.details() or ""


def test_refusals_carry_status_code_and_trailers(
    endpoints: endpoint_service_pb2_grpc.EndpointServiceStub,
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
) -> None:
    rest.create(endpoint("talk", entity(provider)))
    create = endpoint_service_pb2.CreateServingEndpointRequest(name="talk")
    get = endpoint_service_pb2.GetServingEndpointRequest(name="nowhere")
    expected = {
        "taken": (lambda: endpoints.CreateServingEndpoint(create, metadata=metadata), 409),
        "absent": (lambda: endpoints.GetServingEndpoint(get, metadata=metadata), 404),
        "stranger": (lambda: endpoints.GetServingEndpoint(get), 401),
        "query absent": (lambda: list(inference.Query(query("no", CHAT), metadata=metadata)), 404),
        "query wrong": (lambda: list(inference.Query(query("talk", {}), metadata=metadata)), 400),
        "query stranger": (lambda: list(inference.Query(query("talk", CHAT))), 401),
    }
    seen = {}
    for case, (call, status) in expected.items():
        code, trailing, details = refusal(call)
        assert trailing["x-modelplane-http-status"] == str(status), case
        assert details, case
        seen[case] = (code, trailing["x-modelplane-error-code"])
    codes = grpc.StatusCode
    assert seen["taken"] == (codes.ALREADY_EXISTS, "RESOURCE_ALREADY_EXISTS")
    assert seen["absent"] == (codes.NOT_FOUND, "RESOURCE_DOES_NOT_EXIST")
    assert seen["stranger"] == (codes.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert seen["query absent"] == (codes.NOT_FOUND, "ENDPOINT_NOT_FOUND")
    assert seen["query wrong"][0] == codes.INVALID_ARGUMENT
    assert seen["query stranger"] == (codes.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_provider_errors_have_a_grpc_status(
    inference: inference_service_pb2_grpc.InferenceServiceStub,
    metadata: Metadata,
    rest: Rest,
    provider: OpenAiEmulator,
) -> None:
    rest.create(endpoint("failing", entity(provider)))
    provider.fail("gpt-4", status=429, retry_after=LONG_PAUSE)
    code, trailing, details = refusal(
        lambda: list(inference.Query(query("failing", CHAT), metadata=metadata))
    )
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailing["x-modelplane-error-code"] == "REQUEST_LIMIT_EXCEEDED"
    assert trailing["retry-after"] == str(LONG_PAUSE)
    assert "emulated failure 429" in details


def test_secrets(channel: grpc.Channel, metadata: Metadata) -> None:
    secrets = secret_service_pb2_grpc.SecretServiceStub(channel)
    scope = secret_service_pb2.CreateScopeRequest(scope="by-grpc")
    secrets.CreateScope(scope, metadata=metadata, timeout=_SECONDS)
    put = secret_service_pb2.PutSecretRequest(scope="by-grpc", key="k", bytes_value=b"\x00\xff")
    secrets.PutSecret(put, metadata=metadata, timeout=_SECONDS)
    listing = secret_service_pb2.ListSecretsRequest(scope="by-grpc")
    listed = secrets.ListSecrets(listing, metadata=metadata, timeout=_SECONDS)
    assert [item.key for item in listed.secrets] == ["k"]
    gone = secret_service_pb2.DeleteScopeRequest(scope="by-grpc")
    secrets.DeleteScope(gone, metadata=metadata, timeout=_SECONDS)


def test_health_needs_no_token_and_reflection_one(
    channel: grpc.Channel, metadata: Metadata
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for token in ((), (("authorization", "Bearer unknown"),)):
        with pytest.raises(grpc.RpcError) as caught:
            reflected(channel, token).get_services()
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    database = reflected(channel, metadata)
    assert "modelserving.v1.EndpointService" in database.get_services()
    described = database.FindFileContainingSymbol("modelserving.v1.EndpointService")
    assert "CreateServingEndpoint" in [item.name for item in described.service[0].method]
