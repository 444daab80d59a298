"""Makes an endpoint that is governed: a caller with a permission, limits, and usage tracking.

Used by `bench/peers/modelplane.py`, `bench/stream_crowd.py` and `bench/soak.py`.
"""

from typing import Any

from bench.system import System, chat_config

_USER = "ann@example.com"
# Far above any load, and the most that the field holds is more still.
_CALLS_PER_MINUTE = 1_000_000_000
_ENDPOINTS = "/api/2.0/serving-endpoints"


async def create_bare_endpoint(
    system: System, name: str, provider_url: str, model: str
) -> dict[str, str]:
    """Create a chat endpoint without limits or usage tracking.

    Returns:
        Headers of a caller that may query it: the administrator.
    """
    await _create(system, name, chat_config(provider_url, model))
    return system.headers()


def stand_in(provider_url: str) -> str:
    """Return the setting by which a provider stands in Anthropic's place."""
    return f"https://api.anthropic.com={provider_url}"


async def create_claude_endpoint(system: System, name: str) -> None:
    """Create a chat endpoint of a model at Anthropic."""
    model = {
        "name": "claude-sonnet-4-5",
        "provider": "anthropic",
        "task": "llm/v1/chat",
        "anthropic_config": {"anthropic_api_key_plaintext": "key"},
    }
    await _create(system, name, {"served_entities": [{"name": name, "external_model": model}]})


async def create_governed_endpoint(
    system: System, name: str, provider_url: str, model: str
) -> dict[str, str]:
    """Create a chat endpoint with limits far above any load, and with usage tracking.

    Returns:
        Headers of a user who may query it and nothing more.
    """
    created = await _create(system, name, chat_config(provider_url, model))
    limit = {"calls": _CALLS_PER_MINUTE, "renewal_period": "minute"}
    governed = {
        "rate_limits": [{**limit, "key": "endpoint"}, {**limit, "key": "user"}],
        "usage_tracking_config": {"enabled": True},
    }
    await _call(system, "PUT", f"{_ENDPOINTS}/{name}/ai-gateway", governed)
    await _call(system, "POST", "/api/2.0/preview/scim/v2/Users", {"userName": _USER})
    grant = {"user_name": _USER, "permission_level": "CAN_QUERY"}
    permissions = f"/api/2.0/permissions/serving-endpoints/{created['id']}"
    await _call(system, "PATCH", permissions, {"access_control_list": [grant]})
    owner = {"application_id": _USER}
    tokens = "/api/2.0/token-management/on-behalf-of/tokens"
    token = await _call(system, "POST", tokens, owner)
    return {"authorization": f"Bearer {token['token_value']}"}


async def _create(system: System, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return await _call(system, "POST", _ENDPOINTS, {"name": name, "config": config})


async def _call(system: System, method: str, path: str, body: object) -> dict[str, Any]:
    answer = await system.call(method, path, body)
    if answer.status not in {200, 201}:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer.body
