"""The calls of Databricks' Terraform provider, and what it takes for a change, written anew.

After github.com/databricks/terraform-provider-databricks at 684f442 (August 2026):
`serving/resource_model_serving.go`, `common/reflect_resource.go` (StructToData),
`permissions/permission_definitions.go`, `secrets/resource_secret*.go`, `common/resource.go`; and
HashiCorp's plugin SDK v2: an attribute that is optional and not computed is a change wherever state
and declaration differ.
"""

import re
import time
from typing import Any

from tests.e2e.infrastructure.fields import flat, known, sent
from tests.e2e.rest import ENDPOINTS, Json, Rest

_SCIM_ME = "/api/2.0/preview/scim/v2/Me?excludedAttributes=entitlements"
# A hosted model may need an environment first.
_SETTLE_SECONDS = 500.0
_GATEWAY = (
    "fallback_config",
    "guardrails",
    "inference_table_config",
    "rate_limits",
    "usage_tracking_config",
)
# What the provider marks as computed: as the server has it, where it is not declared.
_COMPUTED = (
    "config",
    "config.traffic_config",
    "config.auto_capture_config.table_name_prefix",
    "config.auto_capture_config.enabled",
    "config.served_models.name",
    "config.served_models.workload_type",
    "config.served_entities.name",
    "config.served_entities.workload_type",
)
_ROUTE_NAMES = {
    "served_model_name": "served_entity_name",
    "served_entity_name": "served_model_name",
}


def settled(rest: Rest, name: str) -> Json:
    """Ask for an endpoint until it is not being updated, as the SDK's waiter does."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        found = rest.call("GET", f"{ENDPOINTS}/{name}")
        if found["state"]["config_update"] == "NOT_UPDATING":
            return found
        assert found["state"]["config_update"] == "IN_PROGRESS", found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


class ModelServing:
    """One `databricks_model_serving`, and its state."""

    def __init__(self, rest: Rest, declared: Json, create: str = ENDPOINTS) -> None:
        """Create what is declared, and read it.

        Args:
            rest: The deployment.
            declared: The endpoint, by the API's names.
            create: The path of the call: that of provisioned throughput is another.
        """
        self._rest = rest
        self.name = declared["name"]
        self.state = dict(declared)
        rest.call("POST", create, sent(declared))
        self._read(settled(rest, self.name), is_new=True)

    def plan(self, declared: Json) -> list[str]:
        """Refresh the state; return the attributes that applying would change."""
        self._read(self._rest.call("GET", f"{ENDPOINTS}/{self.name}"), is_new=False)
        wanted, had = _by_key(flat(_sets(declared))), _by_key(flat(_sets(self.state)))
        return sorted(
            path
            for path in wanted.keys() | had.keys()
            if wanted.get(path) != had.get(path) and not _is_kept(path, wanted, had)
        )

    def apply(self, declared: Json) -> None:
        """Bring about what is declared."""
        changes = {path.partition(".")[0] for path in self.plan(declared)}
        # What is computed and not declared stays as it is in the state.
        planned = self.state | declared
        if "config" in changes:
            config = {**self.state["config"], **declared["config"]}
            self._rest.call(
                "PUT", f"{ENDPOINTS}/{self.name}/config", sent({"config": config})["config"]
            )
            settled(self._rest, self.name)
        if "tags" in changes:
            self._patch_tags(declared.get("tags", []))
        if "ai_gateway" in changes:
            gateway = sent({"ai_gateway": declared["ai_gateway"]})["ai_gateway"]
            body = {name: gateway[name] for name in _GATEWAY if name in gateway}
            self._rest.call("PUT", f"{ENDPOINTS}/{self.name}/ai-gateway", body)
        self.state = planned
        self._read(self._rest.call("GET", f"{ENDPOINTS}/{self.name}"), is_new=False)

    def destroy(self) -> None:
        """Delete it."""
        self._rest.call("DELETE", f"{ENDPOINTS}/{self.name}")

    def _patch_tags(self, wanted: list[Json]) -> None:
        there = self._rest.call("GET", f"{ENDPOINTS}/{self.name}").get("tags", [])
        keys = {tag["key"] for tag in wanted}
        body = {
            "add_tags": [tag for tag in wanted if tag not in there],
            "delete_tags": [tag["key"] for tag in there if tag["key"] not in keys],
        }
        body = {name: value for name, value in body.items() if value}
        answer = self._rest.send("PATCH", f"{ENDPOINTS}/{self.name}/tags", body)
        assert answer.status_code == 200, answer.text

    def _read(self, answer: Json, *, is_new: bool) -> None:
        """Put an answer into the state, as `Read` and `StructToData` do."""
        shown = known(answer)
        config, had = shown.get("config", {}), self.state.get("config", {})
        config.pop("served_entities" if had.get("served_models") else "served_models", None)
        _copy_plaintexts(had, config)
        for kind in ("served_entities", "served_models"):
            sized = {one.get("name") for one in had.get(kind, []) if one.get("workload_size")}
            for one in config.get(kind, []):
                if one["name"] not in sized:
                    one.pop("workload_size", None)
        for name, value in shown.items():
            is_kept = is_new or name == "config" or isinstance(value, bool) or self.state.get(name)
            if is_kept and (value or isinstance(value, bool | dict)):
                self.state[name] = value


def _copy_plaintexts(source: Any, target: Any) -> None:
    """Keep the credentials that answers do not have."""
    if isinstance(source, dict) and isinstance(target, dict):
        for name, value in source.items():
            if name.endswith("_plaintext"):
                target.setdefault(name, value)
            elif name in target:
                _copy_plaintexts(value, target[name])
    elif isinstance(source, list) and isinstance(target, list):
        for one, other in zip(source, target, strict=False):
            _copy_plaintexts(one, other)


def _sets(declared: Json) -> Json:
    """Bring what is a set into one order."""
    tags = sorted(declared.get("tags", []), key=lambda tag: str(tag["key"]))
    return declared | ({"tags": tags} if tags else {})


def _by_key(values: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in values.items() if path != "name"}


def _is_kept(path: str, wanted: dict[str, Any], had: dict[str, Any]) -> bool:
    """Tell whether a difference is none: computed, or one of the two names of a route."""
    steps = path.removesuffix(".#").split(".")
    for count in range(1, len(steps) + 1):
        at = ".".join(steps[:count])
        is_declared = at in wanted or f"{at}.#" in wanted
        if not is_declared and re.sub(r"\.\d+", "", at) in _COMPUTED:
            return True
    twin = _ROUTE_NAMES.get(steps[-1])
    if not twin or ".routes." not in path:
        return False
    other = had.get(".".join((*steps[:-1], twin)))
    return path not in wanted and had.get(path) == other


class Permissions:
    """One `databricks_permissions` with a `serving_endpoint_id`, and its state."""

    def __init__(self, rest: Rest, endpoint_id: str, declared: list[Json]) -> None:
        """Set what is declared, and read it."""
        self._rest = rest
        self._path = f"/api/2.0/permissions/serving-endpoints/{endpoint_id}"
        answer = rest.send("GET", _SCIM_ME)
        self._me: str = answer.json()["userName"]
        # Of which the provider keeps the workspace of what it has made.
        assert int(answer.headers["X-Databricks-Org-Id"]) >= 0
        own = {"user_name": self._me, "permission_level": "CAN_MANAGE"}
        rest.call("PUT", self._path, {"access_control_list": [*declared, own]})

    def plan(self, declared: list[Json]) -> list[Json]:
        """Return the grants that are on one side only."""
        answer = self._rest.call("GET", self._path)
        assert answer["object_type"] == "serving-endpoint"
        there = [
            {name: entry[name].lower() if name != "group_name" else entry[name]}
            | {"permission_level": one["permission_level"]}
            for entry in answer["access_control_list"]
            for name in ("user_name", "group_name", "service_principal_name")
            if entry.get(name) and entry[name] not in (self._me, "admins")
            for one in entry["all_permissions"]
            if not one.get("inherited")
        ]
        return [one for one in (*there, *declared) if (one in there) != (one in declared)]

    def destroy(self) -> None:
        """Leave it to whoever runs Terraform."""
        own = {"user_name": self._me, "permission_level": "CAN_MANAGE"}
        self._rest.call("PUT", self._path, {"access_control_list": [own]})


class Secret:
    """One `databricks_secret_scope` with one `databricks_secret`, and their state."""

    def __init__(self, rest: Rest, scope: str, key: str, value: str) -> None:
        """Create both, and read them."""
        self._rest = rest
        self._scope, self._key = scope, key
        body = {"scope": scope, "scope_backend_type": "DATABRICKS"}
        rest.call("POST", "/api/2.0/secrets/scopes/create", body)
        rest.call(
            "POST", "/api/2.0/secrets/put", {"scope": scope, "key": key, "string_value": value}
        )
        self.state = self._read()
        self.reference = f"{{{{secrets/{scope}/{key}}}}}"

    def is_unchanged(self) -> bool:
        """Tell whether both are as they were put."""
        return self._read() == self.state

    def destroy(self) -> None:
        """Delete both."""
        body = {"scope": self._scope, "key": self._key}
        self._rest.call("POST", "/api/2.0/secrets/delete", body)
        self._rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": self._scope})

    def _read(self) -> tuple[Json, Json]:
        scopes = self._rest.call("GET", "/api/2.0/secrets/scopes/list")["scopes"]
        [scope] = [one for one in scopes if one["name"] == self._scope]
        assert scope["backend_type"] == "DATABRICKS"
        secrets = self._rest.call("GET", f"/api/2.0/secrets/list?scope={self._scope}")["secrets"]
        [secret] = [one for one in secrets if one["key"] == self._key]
        assert isinstance(secret["last_updated_timestamp"], int)
        return scope, secret
