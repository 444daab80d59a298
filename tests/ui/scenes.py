"""What several tests of the pages begin with."""

from typing import Any

from tests.e2e.rest import Rest

_OPENAI = {"openai_api_key": "{{secrets/scope/key}}"}


def entity(name: str, model: str = "gpt-4o-mini") -> dict[str, Any]:
    """Return a served entity at the emulated OpenAI."""
    external = {"name": model, "provider": "openai", "task": "llm/v1/chat"}
    return {"name": name, "external_model": external | {"openai_config": _OPENAI}}


def create(rest: Rest, name: str, *entities: str) -> dict[str, Any]:
    """Create an endpoint whose other entities get 10 % each."""
    shares = [100 - (len(entities) - 1) * 10, *[10] * (len(entities) - 1)]
    routes = [
        {"served_model_name": entity, "traffic_percentage": share}
        for entity, share in zip(entities, shares, strict=True)
    ]
    config = {
        "served_entities": [entity(name) for name in entities],
        "traffic_config": {"routes": routes},
    }
    return rest.call("POST", "/api/2.0/serving-endpoints", {"name": name, "config": config})
