"""Configurations to test with."""

from collections.abc import Mapping

from google.protobuf import json_format
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointConfigInput, ServedEntity

from modelplane.control_plane.secrets.credentials import references_in
from modelplane.control_plane.store.endpoints.changes import NewEndpoint, NewVersion

REFERENCE = "{{secrets/my_scope/my_openai_api_key}}"


def openai_entity(
    name: str = "chat",
    *,
    model: str = "gpt-4",
    task: str = "llm/v1/chat",
    **openai_config: str,
) -> dict[str, object]:
    """Return a served entity as a client writes it."""
    return {
        "name": name,
        "external_model": {
            "name": model,
            "provider": "openai",
            "task": task,
            "openai_config": openai_config or {"openai_api_key": REFERENCE},
        },
    }


def config_input(*entities: dict[str, object], **rest: object) -> EndpointConfigInput:
    """Return what a client sends to set a configuration."""
    return json_format.ParseDict({"served_entities": list(entities), **rest}, EndpointConfigInput())


def stored_config(*entities: dict[str, object], version: int = 0) -> EndpointConfig:
    """Return a configuration of these entities."""
    return EndpointConfig(
        config_version=version,
        served_entities=[json_format.ParseDict(entity, ServedEntity()) for entity in entities],
    )


def new_endpoint(
    endpoint_id: str, name: str = "", settings: EndpointSettings | None = None
) -> NewEndpoint:
    """Return an endpoint of alice's to store."""
    name = name or f"name-{endpoint_id}"
    return NewEndpoint(endpoint_id, name, "alice", "alice-id", 1, settings or EndpointSettings())


def new_version(
    config: EndpointConfig, credentials: Mapping[str, bytes] | None = None
) -> NewVersion:
    """Return a version of alice's to store; without a number it is the first."""
    config.config_version = config.config_version or 1
    return NewVersion(config, "alice", 1, credentials or {}, references_in(config), 100)
