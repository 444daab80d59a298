"""Configurations to test with."""

from collections.abc import Mapping
from dataclasses import replace

from google.protobuf import json_format
from modelserving.launcher.v1.launcher_service_pb2 import ModelSource, ReplicaSize
from modelserving.store.v1.hosting_pb2 import HostedModel, ScalePolicy
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
    return NewVersion(config, "alice", 1, credentials or {}, references_in(config))


def hosted_entity(name: str, **environment_vars: str) -> dict[str, object]:
    """Return a served entity of a model that the system runs itself."""
    return {
        "name": name,
        "entity_name": "ml.team.model",
        "entity_version": "1",
        "environment_vars": environment_vars,
    }


def hosted_model(name: str, group_id: str = "", *, least: int = 1, most: int = 1) -> HostedModel:
    """Return what a hosted entity means; it may be at zero."""
    return HostedModel(
        served_entity_name=name,
        group_id=group_id or f"group-{name}",
        engine="mlflow_pyfunc",
        source=ModelSource(registry="directory", uri="/models", name="ml.team.model", version="1"),
        size=ReplicaSize(cpus=1, memory_bytes=1 << 30, concurrency=4),
        scale=ScalePolicy(min_replicas=least, max_replicas=most, scale_to_zero=True),
    )


def hosting_version(version: int, *models: HostedModel, **environment_vars: str) -> NewVersion:
    """Return a version of alice's to store that hosts `models`."""
    entities = [hosted_entity(model.served_entity_name, **environment_vars) for model in models]
    new = new_version(stored_config(*entities, version=version))
    return replace(new, hosted=models)
