"""Configurations to test with."""

from google.protobuf import json_format
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointConfigInput, ServedEntity

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
