"""One form for an endpoint as it is declared, and as the API shows it: pure.

Before: `endpoints`. The defaults are those of `control_plane/endpoints/config_input.py` and
`control_plane/hosting/entity_rules.py`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.tables import member
from modelplane.deploy.command.declared.differences import pruned
from modelplane.deploy.command.declared.kinds.policy_forms import POLICIES, judge, policies

_OUTPUT_ONLY = ("state", "creator", "creation_timestamp", "type")
_MODEL_NAMES = {"model_name": "entity_name", "model_version": "entity_version"}
# Some clients spell out 0, false and "" for what they do not set.
_MAY_BE_UNSET = (
    "min_provisioned_concurrency",
    "max_provisioned_concurrency",
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "provisioned_model_units",
    "burst_scaling_enabled",
    "instance_profile_arn",
    "workload_size",
    "workload_type",
)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME = 128
_ALIAS = "@"
# What the API lets pass as long as it asks for nothing, and does not keep.
_IDLE = ("auto_capture_config", "inference_table_config")


def wanted(body: Json) -> Json:
    """Return what a declaration asks for, by part: only parts that it manages."""
    parts: Json = {
        "tags": _tags(body.get("tags", [])),
        "ai_gateway": _gateway(body.get("ai_gateway", {})),
        "rate_limits": _limits(body.get("rate_limits", [])),
    }
    if "config" in body:
        parts["config"] = _config(body["config"])
    if body.get("description"):
        parts["description"] = body["description"]
    if POLICIES in body:
        parts[POLICIES] = policies(body[POLICIES])
    if "access_control_list" in body:
        parts["access_control_list"] = grants(body["access_control_list"])
    return parts


def there(endpoint: Json, rate_limits: Sequence[Json], declared: Json) -> Json:
    """Return an endpoint of the API, by part.

    Args:
        endpoint: The endpoint.
        rate_limits: Its older limits, which are asked for by themselves.
        declared: What is declared, which decides what aliases mean.
    """
    config = endpoint.get("config") or {}
    if member(endpoint, "state", "config_update") == "IN_PROGRESS":
        config = endpoint.get("pending_config") or config
    return {
        "tags": _tags(endpoint.get("tags", [])),
        "ai_gateway": _gateway(endpoint.get("ai_gateway", {})),
        "rate_limits": _limits(rate_limits),
        "config": _with_aliases(_config(config), _config(declared.get("config", {}))),
        "description": endpoint.get("description", ""),
    }


def grants(entries: Sequence[Json]) -> Json:
    """Return the levels that are granted, by whom they are granted to."""
    return {
        f"{name.removesuffix('_name')} {entry[name]}": entry.get("permission_level")
        for entry in entries
        for name in ("user_name", "group_name", "service_principal_name")
        if entry.get(name)
    }


def exported(endpoint: Json, rate_limits: Sequence[Json]) -> Json:
    """Return the declaration of an endpoint of the API."""
    config = endpoint.get("config") or endpoint.get("pending_config")
    body = {
        "name": endpoint["name"],
        "description": endpoint.get("description"),
        "tags": endpoint.get("tags"),
        "config": _config(config) if config else None,
        "ai_gateway": _gateway(endpoint.get("ai_gateway", {})),
        "rate_limits": list(rate_limits),
    }
    found: Json = pruned(body)
    return found


def _config(config: Mapping[str, Any]) -> Json:
    entities = [_entity(one) for one in _list(config, "served_entities", "served_models")]
    routes = [_route(one) for one in member(config, "traffic_config", "routes") or []]
    if not routes and len(entities) == 1:
        routes = [{"served_entity_name": entities[0].get("name"), "traffic_percentage": 100}]
    whole: Json = pruned({"served_entities": entities, "traffic_config": {"routes": routes}})
    return whole


def _list(config: Mapping[str, Any], *names: str) -> list[Any]:
    found: object = next((config[name] for name in names if config.get(name)), [])
    return found if isinstance(found, list) else []


def _entity(given: Any) -> Json:  # noqa: ANN401 - JSON
    if not isinstance(given, Mapping):
        return {}
    entity: Json = {
        _MODEL_NAMES.get(str(name), str(name)): value
        for name, value in given.items()
        if name not in _OUTPUT_ONLY
    }
    if "entity_version" in entity and entity["entity_version"] is not None:
        entity["entity_version"] = str(entity["entity_version"])
    if not entity.get("external_model"):
        _complete_hosted(entity)
    if not entity.get("name"):
        entity["name"] = _default_name(entity)
    return entity


def _complete_hosted(entity: Json) -> None:
    for name in _MAY_BE_UNSET:
        if not entity.get(name):
            entity.pop(name, None)
    if "max_provisioned_concurrency" in entity:
        entity.setdefault("min_provisioned_concurrency", 0)
    elif not {"workload_size", "min_provisioned_concurrency"} & entity.keys():
        entity["workload_size"] = "Small"
    entity.setdefault("workload_type", "CPU")


def _default_name(entity: Json) -> str:
    if name := member(entity, "external_model", "name"):
        text = str(name)
    else:
        version = str(entity.get("entity_version") or "").removeprefix(_ALIAS)
        text = "-".join(filter(None, (str(entity.get("entity_name")).rpartition(".")[2], version)))
    return _NOT_IN_NAMES.sub("-", text)[:_MAX_NAME]


def _with_aliases(shown: Json, declared: Json) -> Json:
    """Return a configuration with the aliases that are declared for versions.

    An alias becomes a version when a configuration is made, and does not move by itself.
    """
    aliases = {
        (one.get("name"), one.get("entity_name")): one["entity_version"]
        for one in declared.get("served_entities", [])
        if str(one.get("entity_version", "")).startswith(_ALIAS)
    }
    for entity in shown.get("served_entities", []):
        alias = aliases.get((entity.get("name"), entity.get("entity_name")))
        if alias and entity.get("entity_version"):
            entity["entity_version"] = alias
    return shown


def _route(route: Any) -> Json:  # noqa: ANN401 - JSON
    name = member(route, "served_entity_name") or member(route, "served_model_name")
    share = member(route, "traffic_percentage") or 0
    return {"served_entity_name": name, "traffic_percentage": share}


def _gateway(gateway: Mapping[str, Any]) -> Json:
    kept = {name: value for name, value in gateway.items() if not _is_idle(name, value)}
    if isinstance(judging := member(kept, "guardrails", "judge"), Mapping):
        kept["guardrails"] = {**kept["guardrails"], "judge": judge(judging)}
    found: Json = pruned({**kept, "rate_limits": _limits(gateway.get("rate_limits") or [])})
    return found


def _is_idle(name: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    return name in _IDLE and not member(value, "enabled")


def _limits(limits: Sequence[Any]) -> list[Json]:
    found: list[Json] = pruned([{"key": "endpoint", **one} for one in limits])
    return found


def _tags(tags: Sequence[Json]) -> list[Json]:
    found: list[Json] = pruned(list(tags))
    return found
