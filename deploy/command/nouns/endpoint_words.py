"""Endpoints in words: their state, models, tags and limits. Pure.

Before: `endpoints`, `status`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.tables import (
    Column,
    column,
    format_pairs,
    format_table,
    format_time,
    member,
)

Endpoint = Mapping[str, Any]

_STOPPED = "DEPLOYMENT_STOPPED"


def state_of(endpoint: Endpoint) -> str:
    """Return the state of an endpoint in a word or two."""
    # A list does not tell it.
    states = {
        member(entity, "state", "deployment")
        for entity in member(endpoint, "config", "served_entities") or []
    }
    if states == {_STOPPED}:
        return "stopped"
    update = member(endpoint, "state", "config_update")
    if update == "IN_PROGRESS":
        return "updating"
    word = "ready" if member(endpoint, "state", "ready") == "READY" else "not ready"
    return f"{word}, update failed" if update == "UPDATE_FAILED" else word


def models_of(endpoint: Endpoint) -> str:
    """Return the models that serve, with commas."""
    return ", ".join(map(_model, member(endpoint, "config", "served_entities") or []))


def tags_of(endpoint: Endpoint) -> str:
    """Return the tags, with commas."""
    return ", ".join(
        tag["key"] + (f"={tag['value']}" if tag.get("value") else "")
        for tag in endpoint.get("tags", [])
    )


def limits_of(endpoint: Endpoint) -> Iterator[str]:
    """Yield the limits of the AI Gateway."""
    for limit in member(endpoint, "ai_gateway", "rate_limits") or []:
        amounts = [f"{limit[unit]:g} {unit}" for unit in ("calls", "tokens") if unit in limit]
        who = limit["key"] + (f" {limit['principal']}" if limit.get("principal") else "")
        yield f"{who}: {' and '.join(amounts)} a {limit['renewal_period']}"


def describe(endpoint: Json, width: int | None) -> str:
    """Return an endpoint in words.

    Args:
        endpoint: The endpoint.
        width: Characters of a line; None: as many as it takes.
    """
    values = {
        "name": endpoint.get("name"),
        "state": state_of(endpoint),
        "why": member(endpoint, "state", "config_update_message"),
        "description": endpoint.get("description"),
        "task": endpoint.get("task"),
        "version": str(member(endpoint, "config", "config_version") or ""),
        "tags": tags_of(endpoint),
        "limits": "; ".join(limits_of(endpoint)),
        "creator": endpoint.get("creator_display_name"),
        "changed": format_time(endpoint.get("last_updated_timestamp")),
        "you may": endpoint.get("permission_level"),
        "id": endpoint.get("id"),
    }
    text = format_pairs(values, width)
    for title, name in (("serves", "config"), ("is being prepared", "pending_config")):
        if entities := member(endpoint, name, "served_entities"):
            text += f"\n{title}:\n" + _entities(entities, endpoint[name], width)
    return text


def _entities(entities: Sequence[Json], config: Json, width: int | None) -> str:
    shares = {
        route.get("served_entity_name"): route.get("traffic_percentage")
        for route in member(config, "traffic_config", "routes") or []
    }
    columns = [
        column("ENTITY", "name"),
        Column("MODEL", _model),
        Column("TRAFFIC", lambda one: f"{shares.get(one['name'], 0)} %"),
        Column("STATE", _deployment),
    ]
    text = format_table(columns, entities, width)
    for entity in entities:
        if why := member(entity, "state", "deployment_state_message"):
            text += "\n" + format_pairs({str(entity["name"]): why}, width)
    return text


def _model(entity: Mapping[str, Any]) -> str:
    if external := entity.get("external_model"):
        return f"{external.get('provider')}/{external.get('name')}"
    version = entity.get("entity_version")
    return f"{entity.get('entity_name')}/{version}" if version else str(entity.get("entity_name"))


def _deployment(entity: Mapping[str, Any]) -> str:
    word = str(member(entity, "state", "deployment") or "")
    return word.removeprefix("DEPLOYMENT_").lower()
