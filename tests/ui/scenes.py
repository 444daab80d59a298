"""What several tests of the pages begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def looker(rest: Rest, endpoint: dict[str, Any]) -> Iterator[str]:
    """Give the token of a user who may only look at an endpoint, and who is gone afterwards."""
    name = "looker"
    users = "/api/2.0/preview/scim/v2/Users"
    user = rest.call("POST", users, {"userName": name})
    grant = {"user_name": name, "permission_level": "CAN_VIEW"}
    path = f"/api/2.0/permissions/serving-endpoints/{endpoint['id']}"
    rest.call("PATCH", path, {"access_control_list": [grant]})
    asked = {"application_id": name, "comment": "browser"}
    try:
        path = "/api/2.0/token-management/on-behalf-of/tokens"
        yield rest.call("POST", path, asked)["token_value"]
    finally:
        rest.call("DELETE", f"{users}/{user['id']}")
