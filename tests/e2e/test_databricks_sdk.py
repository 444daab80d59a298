"""The official Databricks SDK, unmodified, through Envoy."""

from typing import Any

import pytest
from databricks.sdk import WorkspaceClient, errors
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service import serving
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayRateLimit,
    AiGatewayRateLimitRenewalPeriod,
    AiGatewayUsageTrackingConfig,
    ChatMessage,
    ChatMessageRole,
    EmailNotifications,
    EndpointCoreConfigInput,
    EndpointTag,
    ExternalModel,
    ExternalModelProvider,
    OpenAiConfig,
    RateLimit,
    RateLimitKey,
    RateLimitRenewalPeriod,
    Route,
    ServedEntityInput,
    TrafficConfig,
)

from tests.e2e.system import System
from tests.emulators.openai import API_KEY, OpenAiEmulator

USER = [ChatMessage(role=ChatMessageRole.USER, content="hello there")]


def connect(system: System, token: str) -> WorkspaceClient:
    return WorkspaceClient(
        config=Config(host=system.url, token=token, auth_type="pat", retry_timeout_seconds=3)
    )


@pytest.fixture
def workspace(system: System) -> WorkspaceClient:
    return connect(system, system.token)


def served(
    provider: OpenAiEmulator,
    name: str = "chat",
    model: str = "gpt-4",
    task: str = "llm/v1/chat",
    key: str | None = None,
) -> ServedEntityInput:
    reference = None if key else "{{secrets/my_scope/my_openai_api_key}}"
    config = OpenAiConfig(
        openai_api_key=reference, openai_api_key_plaintext=key, openai_api_base=provider.url
    )
    model_config = ExternalModel(
        name=model, provider=ExternalModelProvider.OPENAI, task=task, openai_config=config
    )
    return ServedEntityInput(name=name, external_model=model_config)


def config(*entities: ServedEntityInput) -> EndpointCoreConfigInput:
    return EndpointCoreConfigInput(name="ignored", served_entities=list(entities))


def test_life_of_an_endpoint(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    endpoints = workspace.serving_endpoints
    made = endpoints.create_and_wait(
        "sdk-chat", config=config(served(provider)), tags=[EndpointTag("team", "gen-ai")]
    )
    assert made.config is not None
    assert made.config.config_version == 1
    assert made.state is not None
    assert made.state.ready == serving.EndpointStateReady.READY
    assert made.state.config_update == serving.EndpointStateConfigUpdate.NOT_UPDATING
    assert made.permission_level == serving.ServingEndpointDetailedPermissionLevel.CAN_MANAGE
    assert made.task == "llm/v1/chat"
    assert made.route_optimized is False
    assert made.id is not None
    assert len(made.id) == 32
    assert endpoints.get("sdk-chat").as_dict() == made.as_dict()
    (listed,) = endpoints.list()
    assert (listed.name, listed.id, listed.creator) == ("sdk-chat", made.id, made.creator)


def test_query_and_update(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    endpoints = workspace.serving_endpoints
    endpoints.create_and_wait("sdk-chat", config=config(served(provider)))
    answer = endpoints.query("sdk-chat", messages=USER, max_tokens=20)
    assert answer.served_model_name == "chat"
    assert answer.choices is not None
    assert answer.choices[0].message is not None
    assert answer.choices[0].message.content == "gpt-4 heard: hello there"

    updated = endpoints.update_config_and_wait(
        "sdk-chat", served_entities=[served(provider, "newer", "gpt-4o", key=API_KEY)]
    )
    assert updated.config is not None
    assert updated.config.config_version == 2
    assert updated.pending_config is None
    answer = endpoints.query("sdk-chat", messages=USER)
    assert answer.served_model_name == "newer"

    endpoints.delete("sdk-chat")
    assert list(endpoints.list()) == []
    with pytest.raises(ResourceDoesNotExist):
        endpoints.get("sdk-chat")
    with pytest.raises(NotFound):
        endpoints.query("sdk-chat", messages=USER)


def test_settings_of_an_endpoint(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    endpoints = workspace.serving_endpoints
    endpoints.create_and_wait("settings", config=config(served(provider)), description="mine")

    tags = endpoints.patch("settings", add_tags=[EndpointTag("a", "1"), EndpointTag("b")])
    assert [(tag.key, tag.value) for tag in tags.tags or []] == [("a", "1"), ("b", None)]
    tags = endpoints.patch("settings", add_tags=[EndpointTag("a", "2")], delete_tags=["b", "zz"])
    assert [(tag.key, tag.value) for tag in tags.tags or []] == [("a", "2")]

    limits = [RateLimit(100, RateLimitRenewalPeriod.MINUTE, RateLimitKey.USER)]
    put = endpoints.put("settings", rate_limits=limits)
    assert put.as_dict() == {
        "rate_limits": [{"calls": 100, "key": "user", "renewal_period": "minute"}]
    }

    gateway = endpoints.put_ai_gateway(
        "settings",
        usage_tracking_config=AiGatewayUsageTrackingConfig(enabled=True),
        rate_limits=[
            AiGatewayRateLimit(calls=5, renewal_period=AiGatewayRateLimitRenewalPeriod.MINUTE)
        ],
    )
    assert gateway.usage_tracking_config == AiGatewayUsageTrackingConfig(enabled=True)
    nobody = EmailNotifications(on_update_success=[], on_update_failure=[])
    assert endpoints.update_notifications("settings", email_notifications=nobody).name == "settings"

    read = endpoints.get("settings")
    assert read.description == "mine"
    assert isinstance(read.ai_gateway, AiGatewayConfig)
    assert read.ai_gateway.rate_limits is not None
    assert read.ai_gateway.rate_limits[0].calls == 5
    assert read.config is not None
    assert read.config.config_version == 1
    # What is not read would keep its connection until it is collected.
    contents: Any = endpoints.get_open_api("settings").contents
    with contents:
        assert b'"openapi"' in contents.read()


def test_all_tasks(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    endpoints = workspace.serving_endpoints
    words = served(provider, "words", "gpt-3.5-turbo-instruct", "llm/v1/completions")
    endpoints.create_and_wait("words", config=config(words))
    told = endpoints.query("words", prompt="once upon", max_tokens=10, extra_params={"user": "u1"})
    assert told.choices is not None
    assert told.choices[0].text == " gpt-3.5-turbo-instruct continues: once upon"
    assert provider.requests[-1].body["user"] == "u1"

    vectors = served(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
    endpoints.create_and_wait("vectors", config=config(vectors))
    embedded = endpoints.query("vectors", input=["one", "two"])
    assert embedded.data is not None
    assert [len(item.embedding or []) for item in embedded.data] == [1536, 1536]


def test_traffic_split(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    both = config(served(provider, "one"), served(provider, "two", "gpt-4o"))
    both.traffic_config = TrafficConfig(
        routes=[
            Route(served_model_name="one", traffic_percentage=0),
            Route(served_model_name="two", traffic_percentage=100),
        ]
    )
    workspace.serving_endpoints.create_and_wait("split", config=both)
    for _ in range(5):
        answer = workspace.serving_endpoints.query("split", messages=USER)
        assert answer.served_model_name == "two"


def test_errors_become_the_exceptions_of_the_sdk(
    system: System, workspace: WorkspaceClient, provider: OpenAiEmulator
) -> None:
    endpoints = workspace.serving_endpoints
    endpoints.create_and_wait("taken", config=config(served(provider)))
    with pytest.raises(ResourceAlreadyExists):
        endpoints.create("taken", config=config(served(provider)))
    with pytest.raises(InvalidParameterValue, match="databricks-"):
        endpoints.create("databricks-mine", config=config(served(provider)))
    with pytest.raises(ResourceDoesNotExist):
        endpoints.delete("nowhere")
    with pytest.raises(BadRequest):
        endpoints.query("taken", prompt="no messages")
    hosted = ServedEntityInput(
        entity_name="main.default.model", entity_version="1", scale_to_zero_enabled=True
    )
    hosted.workload_size = "Small"
    with pytest.raises(errors.NotImplemented):
        endpoints.create("hosted", config=config(hosted))
    with pytest.raises(Unauthenticated):
        list(connect(system, "dapi-wrong").serving_endpoints.list())


@pytest.mark.parametrize("status", [400, 500])
def test_the_providers_error_reaches_the_caller(
    workspace: WorkspaceClient, provider: OpenAiEmulator, status: int
) -> None:
    workspace.serving_endpoints.create_and_wait("failing", config=config(served(provider)))
    provider.fail("gpt-4", status=status)
    with pytest.raises(errors.base.DatabricksError, match=f"emulated failure {status}") as failed:
        workspace.serving_endpoints.query("failing", messages=USER)
    assert "openai" in str(failed.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_its_openai_client(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    workspace.serving_endpoints.create_and_wait("by-openai", config=config(served(provider)))
    made: Any = workspace.serving_endpoints.get_open_ai_client()  # type: ignore[no-untyped-call]
    with made as client:
        answer = client.chat.completions.create(
            model="by-openai", messages=[{"role": "user", "content": "hello there"}]
        )
    assert answer.choices[0].message.content == "gpt-4 heard: hello there"


def test_secrets(workspace: WorkspaceClient) -> None:
    secrets = workspace.secrets
    secrets.create_scope("of-the-sdk")
    with pytest.raises(ResourceAlreadyExists):
        secrets.create_scope("of-the-sdk")
    assert "of-the-sdk" in [scope.name for scope in secrets.list_scopes()]
    secrets.put_secret("of-the-sdk", "text", string_value="s3cret-text")
    secrets.put_secret("of-the-sdk", "bytes", bytes_value="czNjcmV0")
    listed = list(secrets.list_secrets("of-the-sdk"))
    assert [item.key for item in listed] == ["bytes", "text"]
    assert all((item.last_updated_timestamp or 0) > 1_600_000_000_000 for item in listed)
    secrets.delete_secret("of-the-sdk", "text")
    assert [item.key for item in secrets.list_secrets("of-the-sdk")] == ["bytes"]
    secrets.delete_scope("of-the-sdk")
    with pytest.raises(ResourceDoesNotExist):
        list(secrets.list_secrets("of-the-sdk"))


def test_plaintext_is_never_returned(workspace: WorkspaceClient, provider: OpenAiEmulator) -> None:
    key = "sk-do-not-show-this"
    made = workspace.serving_endpoints.create_and_wait(
        "plain", config=config(served(provider, key=key))
    )
    read = workspace.serving_endpoints.get("plain")
    listed = [item.as_dict() for item in workspace.serving_endpoints.list()]
    assert key not in f"{made.as_dict()}{read.as_dict()}{listed}"
