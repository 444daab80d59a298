"""The public services as a client sees them: a real server, a real port."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import orjson
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1 import secret_service_pb2 as secrets_pb
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2_grpc import (
    EndpointServiceStub,
    add_EndpointServiceServicer_to_server,
)
from modelserving.v1.secret_service_pb2_grpc import (
    SecretServiceStub,
    add_SecretServiceServicer_to_server,
)
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.metadata import as_mapping
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.adapters.shared.telemetry import JsonFormatter
from modelplane.control_plane import admission
from modelplane.control_plane.audit.log import AuditLog
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.model_logs import ModelLogs
from modelplane.control_plane.endpoints.servicer import EndpointServicer
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.endpoints.trial import Trial
from modelplane.control_plane.errors import InvalidParameter, StoreUnavailable
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.interceptor import Interceptor
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.scope_acls import ScopeAcls
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.secrets.servicer import SecretServicer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.identity.tokens import ensure_admin_token
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import FakeClock
from tests.control_plane.endpoints.test_lifecycle import KEY, with_model
from tests.control_plane.rest.test_call import envoys
from tests.control_plane.rollouts import FakeRollout

if TYPE_CHECKING:
    from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceAsyncStub
    from modelserving.v1.secret_service_pb2_grpc import SecretServiceAsyncStub

TOKEN = (("authorization", "Bearer secret-token"),)


class FailingEndpoints(Endpoints):
    """Fails as told."""

    error: Exception | None = None

    async def get(self, principal: Principal, name: str) -> StoredEndpoint:
        if self.error:
            raise self.error
        return await super().get(principal, name)


@dataclass
class Api:
    """The services, called over gRPC."""

    channel: grpc.aio.Channel
    endpoints: "EndpointServiceAsyncStub"
    secrets: "SecretServiceAsyncStub"
    use_cases: FailingEndpoints
    registry: CollectorRegistry


@pytest.fixture
async def api(
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
    settings: SettingChanges,
    secrets: Secrets,
    clock: FakeClock,
) -> AsyncIterator[Api]:
    await ensure_admin_token(database, "secret-token", "alice", clock)
    registry = CollectorRegistry()
    health = Health()
    audit_log = AuditLog(database, clock, registry, retention_days=365)
    interceptor = Interceptor(Authenticator(database, clock), audit_log, registry)
    server = new_server(["modelserving.v1.EndpointService"], health.servicer, [interceptor])
    endpoints = FailingEndpoints(database, sealer, rollout, clock)
    metrics = EndpointMetrics(database, clock)
    history, logs = ConfigHistory(database), ModelLogs(database)
    trial = Trial(database, endpoints)
    servicer = EndpointServicer(endpoints, settings, history, metrics, logs, Pinning(), trial)
    add_EndpointServiceServicer_to_server(servicer, server)
    add_SecretServiceServicer_to_server(SecretServicer(secrets, ScopeAcls(database)), server)
    await health.set_serving(serving=True)
    async with (
        running(server, "127.0.0.1:0", 1.0) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        endpoint_stub = EndpointServiceStub(channel)
        secret_stub = SecretServiceStub(channel)
        yield Api(channel, endpoint_stub, secret_stub, endpoints, registry)


async def refused(call: object) -> tuple[grpc.aio.AioRpcError, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value, dict(as_mapping(caught.value.trailing_metadata()))


GET = pb.GetServingEndpointRequest(name="chat")


async def test_a_refused_call_is_held_by_no_cycle(api: Api) -> None:
    """Garbage is collected by the number of objects: large requests would fill the memory."""
    gc.disable()
    try:
        api.use_cases.error = InvalidParameter("no")
        kept = weakref.ref(api.use_cases.error)
        await refused(api.endpoints.GetServingEndpoint(GET, metadata=TOKEN))
        api.use_cases.error = None
        async with asyncio.timeout(60):
            while kept() is not None:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_call_without_a_token_is_refused_and_health_is_not(api: Api) -> None:
    error, metadata = await refused(api.endpoints.GetServingEndpoint(GET))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert metadata["x-modelplane-error-code"] == "UNAUTHENTICATED"
    assert metadata["x-modelplane-http-status"] == "401"
    wrong = (("authorization", "Bearer wrong"),)
    error, _ = await refused(api.secrets.ListScopes(secrets_pb.ListScopesRequest(), metadata=wrong))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    health = health_pb2_grpc.HealthStub(api.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_is_for_those_who_are_known(api: Api) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    for metadata in ((), (("authorization", "Bearer unknown"),)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.ServerReflectionInfo(iter([question]), metadata=metadata)))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    known = stub.ServerReflectionInfo(iter([question]), metadata=TOKEN)
    assert (await anext(aiter(known))).list_services_response.service


async def test_a_message_is_read_once_its_sender_is_known(api: Api) -> None:
    method = "/modelserving.v1.EndpointService/GetServingEndpoint"
    for metadata, code in ((), "UNAUTHENTICATED"), (TOKEN, "INVALID_ARGUMENT"):
        call = api.channel.stream_unary(method, bytes, bytes)(metadata=metadata)
        if metadata:
            await call.write(b"\xff")
            await call.done_writing()
        # Without a token there is nothing to wait for.
        error, _ = await refused(call)
        assert error.code() is grpc.StatusCode[code]


async def test_a_domain_error_keeps_its_message_and_gets_its_status(api: Api) -> None:
    error, metadata = await refused(api.endpoints.GetServingEndpoint(GET, metadata=TOKEN))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "Endpoint with name 'chat' does not exist."
    assert metadata["x-modelplane-error-code"] == "RESOURCE_DOES_NOT_EXIST"
    assert metadata["x-modelplane-http-status"] == "404"
    assert "retry-after" not in metadata


async def test_an_unavailable_store_asks_to_try_again(api: Api) -> None:
    api.use_cases.error = StoreUnavailable("The database does not answer; please retry.")
    error, metadata = await refused(api.endpoints.GetServingEndpoint(GET, metadata=TOKEN))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert metadata["retry-after"] == "1"


async def test_a_bug_is_logged_and_not_shown(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.use_cases.error = ZeroDivisionError("the inside of the program")
    metadata = (*TOKEN, ("x-request-id", "r-1"))
    error, trailing = await refused(api.endpoints.GetServingEndpoint(GET, metadata=metadata))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "Internal error; see the log for request r-1."
    assert trailing["x-modelplane-error-code"] == "INTERNAL_ERROR"
    assert trailing["x-modelplane-http-status"] == "500"
    (record,) = [item for item in caplog.records if item.getMessage() == "internal error"]
    assert record.exc_info is not None
    assert record.exc_info[1] is api.use_cases.error
    assert orjson.loads(JsonFormatter().format(record))["request_id"] == "r-1"


async def test_an_answer_that_some_worker_has_not_followed_says_so(
    api: Api, rollout: FakeRollout
) -> None:
    for late in (False, True, False):
        request = pb.CreateServingEndpointRequest(
            name="chat", config=config_input(openai_entity(**KEY))
        )
        await api.endpoints.CreateServingEndpoint(request, metadata=TOKEN)
        rollout.late = late
        deletion = pb.DeleteServingEndpointRequest(name="chat")
        call = api.endpoints.DeleteServingEndpoint(deletion, metadata=TOKEN)
        told = as_mapping(await call.initial_metadata()).get("x-modelplane-workers-behind")
        assert told == ("true" if late else None)


async def test_every_answer_carries_the_request_id(api: Api) -> None:
    request = secrets_pb.ListScopesRequest()
    call = api.secrets.ListScopes(request, metadata=(*TOKEN, ("x-request-id", "r-1")))
    assert as_mapping(await call.initial_metadata())["x-request-id"] == "r-1"
    await call
    call = api.secrets.ListScopes(request, metadata=TOKEN)
    assert len(as_mapping(await call.initial_metadata())["x-request-id"]) == 36
    metadata = (*TOKEN, ("x-request-id", "r-2"))
    _, trailing = await refused(api.endpoints.GetServingEndpoint(GET, metadata=metadata))
    assert trailing["x-request-id"] == "r-2"
    # What is none is no part of one either.
    metadata = (*TOKEN, ("x-request-id", "x" * 129))
    _, trailing = await refused(api.endpoints.GetServingEndpoint(GET, metadata=metadata))
    assert len(trailing["x-request-id"]) == 36


async def test_a_rush_of_calls_is_told_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_CALLS", 0)
    error, metadata = await refused(api.endpoints.GetServingEndpoint(GET, metadata=TOKEN))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert metadata["x-modelplane-http-status"] == "503"
    assert metadata["retry-after"] == "1"


async def test_a_call_over_rest_is_read_once_its_caller_is_known(api: Api) -> None:
    create: Any = api.channel.unary_unary(
        "/modelserving.v1.EndpointServiceOverRest/CreateServingEndpoint"
    )
    by_envoy = (("x-envoy-original-path", "/api/2.0/serving-endpoints"),)

    def body(content: bytes) -> bytes:
        return envoys(pb.CreateServingEndpointRequest(), content)

    error, _ = await refused(create(body(b"{"), metadata=by_envoy))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    error, trailing = await refused(create(body(b"{"), metadata=TOKEN + by_envoy))
    assert trailing["x-modelplane-error-code"] == "BAD_REQUEST"
    error, trailing = await refused(create(body(b'{"nam": "a"}'), metadata=TOKEN + by_envoy))
    assert error.details() == "Unknown field `nam`; did you mean `name`?"
    assert trailing["x-modelplane-error-code"] == "INVALID_PARAMETER_VALUE"
    made = await create(body(b'{"name": "chat"}'), metadata=TOKEN + by_envoy)
    assert ServingEndpoint.FromString(made).name == "chat"
    # Envoy always says the path: what does not come from it is not read.
    error, _ = await refused(create(body(b'{"name": "b"}'), metadata=TOKEN))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_what_is_not_available_is_refused_over_grpc_too(api: Api) -> None:
    guarded = pb.CreateServingEndpointRequest(name="chat")
    guarded.ai_gateway.guardrails.input.safety = True
    error, trailing = await refused(api.endpoints.CreateServingEndpoint(guarded, metadata=TOKEN))
    assert "'safety' needs a judge, of which there is none" in str(error.details())
    assert trailing["x-modelplane-http-status"] == "400"
    await refused(api.endpoints.GetServingEndpoint(GET, metadata=TOKEN))


async def test_each_call_is_one_log_line_and_one_count(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metadata = (*TOKEN, ("x-request-id", "r-1"))
    request = secrets_pb.PutSecretRequest(scope="s", key="k", string_value="hidden")
    await refused(api.secrets.PutSecret(request, metadata=metadata))
    async with asyncio.timeout(60):
        # It is written once the answer is on its way.
        while not (found := [item for item in caplog.records if item.getMessage() == "request"]):
            await asyncio.sleep(0.01)
    (record,) = found
    line = orjson.loads(JsonFormatter().format(record))
    assert line.items() >= {
        ("method", "PutSecret"),
        ("status", "NOT_FOUND"),
        ("principal", "alice"),
        ("request_id", "r-1"),
    }
    assert line["ms"] >= 0
    assert "hidden" not in caplog.text
    assert "secret-token" not in caplog.text
    labels = {"method": "PutSecret", "status": "NOT_FOUND"}
    for name in ("requests_total", "request_seconds_count"):
        assert api.registry.get_sample_value(f"modelplane_control_plane_{name}", labels) == 1


async def test_secrets_over_rpc(api: Api) -> None:
    put = secrets_pb.PutSecretRequest(scope="s", key="k")
    await api.secrets.CreateScope(secrets_pb.CreateScopeRequest(scope="s"), metadata=TOKEN)
    error, _ = await refused(api.secrets.PutSecret(put, metadata=TOKEN))
    assert "exactly one of string_value and bytes_value" in str(error.details())
    put.bytes_value = b"\x00\xff"
    await api.secrets.PutSecret(put, metadata=TOKEN)
    put.string_value = ""
    await refused(api.secrets.PutSecret(put, metadata=TOKEN))
    listed = await api.secrets.ListSecrets(secrets_pb.ListSecretsRequest(scope="s"), metadata=TOKEN)
    assert [secret.key for secret in listed.secrets] == ["k"]
    scopes = await api.secrets.ListScopes(secrets_pb.ListScopesRequest(), metadata=TOKEN)
    assert [(scope.name, scope.backend_type) for scope in scopes.scopes] == [("s", "DATABRICKS")]
    deleted = secrets_pb.DeleteSecretRequest(scope="s", key="k")
    await api.secrets.DeleteSecret(deleted, metadata=TOKEN)
    await api.secrets.DeleteScope(secrets_pb.DeleteScopeRequest(scope="s"), metadata=TOKEN)
    scopes = await api.secrets.ListScopes(secrets_pb.ListScopesRequest(), metadata=TOKEN)
    assert list(scopes.scopes) == []


async def call(api: Api, name: str, **fields: object) -> Message:
    request = getattr(pb, f"{name}Request")(name="chat")
    json_format.ParseDict(fields, request)
    answer: Message = await getattr(api.endpoints, name)(request, metadata=TOKEN)
    return answer


async def test_the_life_of_an_endpoint_over_rpc(api: Api) -> None:
    created = await api.endpoints.CreateServingEndpoint(with_model(), metadata=TOKEN)
    assert await call(api, "GetServingEndpoint") == created
    everything = pb.ListServingEndpointsRequest()
    listed = await api.endpoints.ListServingEndpoints(everything, metadata=TOKEN)
    assert [endpoint.id for endpoint in listed.endpoints] == [created.id]
    for search, found in (("HA", [created.id]), ("chat-", []), ("%", [])):
        some = pb.ListServingEndpointsRequest(search=search)
        listed = await api.endpoints.ListServingEndpoints(some, metadata=TOKEN)
        assert [endpoint.id for endpoint in listed.endpoints] == found
    long = pb.ListServingEndpointsRequest(search="x" * 64)
    error, _ = await refused(api.endpoints.ListServingEndpoints(long, metadata=TOKEN))
    assert "'search' has 64 characters" in str(error.details())
    config = json_format.MessageToDict(config_input(openai_entity("new", **KEY)))
    updated = await call(api, "UpdateServingEndpointConfig", config=config)
    assert updated == await call(api, "GetServingEndpoint") != created
    error, _ = await refused(call(api, "CancelServingEndpointUpdate"))
    assert error.code() is grpc.StatusCode.ABORTED
    openapi = await call(api, "GetServingEndpointOpenApi")
    assert isinstance(openapi, HttpBody)
    assert openapi.content_type == "application/json"
    assert orjson.loads(openapi.data)["info"]["title"] == "chat"
    metrics = await call(api, "GetServingEndpointMetrics")
    assert isinstance(metrics, HttpBody)
    assert metrics.content_type.startswith("text/plain; version=0.0.4")
    assert b'request_count_total{endpoint_name="chat"' in metrics.data
    assert await call(api, "DeleteServingEndpoint") == pb.DeleteServingEndpointResponse()
    error, _ = await refused(call(api, "GetServingEndpoint"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_versions_over_rpc(api: Api) -> None:
    await api.endpoints.CreateServingEndpoint(with_model(), metadata=TOKEN)
    rolled = await call(api, "RollbackServingEndpointConfig", config_version=1)
    assert json_format.MessageToDict(rolled)["config"]["configVersion"] == 2
    versions = json_format.MessageToDict(await call(api, "ListServingEndpointConfigVersions"))
    assert [item["configVersion"] for item in versions["configVersions"]] == [2, 1]
    version = await call(api, "GetServingEndpointConfigVersion", config_version=1)
    assert json_format.MessageToDict(version)["outcome"] == "SUPERSEDED"
    compared = await call(api, "CompareServingEndpointConfigVersions", from_version=1, to_version=2)
    assert compared == pb.CompareServingEndpointConfigVersionsResponse()


async def test_settings_over_rpc(api: Api) -> None:
    await api.endpoints.CreateServingEndpoint(with_model(), metadata=TOKEN)
    tag = {"key": "team", "value": "a"}
    tags = await call(api, "PatchServingEndpointTags", add_tags=[tag])
    assert json_format.MessageToDict(tags) == {"tags": [tag]}
    limit = {"calls": 1, "key": "user", "renewal_period": "minute"}
    put = await call(api, "PutServingEndpointRateLimits", rate_limits=[limit])
    assert put == await call(api, "GetServingEndpointRateLimits") != pb.ServingEndpointRateLimits()
    gateway = {"usage_tracking_config": {"enabled": True}}
    put = await call(api, "PutServingEndpointAiGateway", ai_gateway=gateway)
    assert put == await call(api, "GetServingEndpointAiGateway")
    assert json_format.MessageToDict(put, preserving_proto_field_name=True) == gateway
    nobody: dict[str, list[str]] = {"on_update_success": []}
    notified = await call(api, "PatchServingEndpointNotifications", email_notifications=nobody)
    assert notified == await call(api, "GetServingEndpoint")
