"""What asset bundles take for a change of an endpoint, written anew: their engine `direct`.

After github.com/databricks/cli at 7bbe285 (August 2026): `bundle/direct/bundle_plan.go`
(addPerFieldActions), `bundle/direct/dresources/model_serving_endpoint.go` and `resources.yml`. Its
calls are those of the Terraform provider; what differs is that lists have an order, and that an
endpoint of which one of some fields differs is deleted and made anew.
"""

import re

from tests.e2e.infrastructure.fields import flat, known, sent
from tests.e2e.rest import ENDPOINTS, Json, Rest

# Fields that may be there though they are not declared ("backend_defaults").
_DEFAULTS = (
    "config.served_entities.name",
    "config.served_entities.workload_type",
    "config.auto_capture_config.enabled",
    "config.traffic_config",
)
# Fields that are not compared with what is there ("ignore_remote_changes").
_WRITE_ONLY = ("burst_scaling_enabled", "_plaintext")


def plan(rest: Rest, declared: Json) -> list[str]:
    """Return the fields that deploying again would change, where the declaration is as it was."""
    shown = known(rest.call("GET", f"{ENDPOINTS}/{declared['name']}"))
    shown.get("config", {}).pop("served_models", None)
    wanted, there = flat(sent(declared)), flat(shown)
    return sorted(
        path
        for path in wanted.keys() | there.keys()
        if wanted.get(path) != there.get(path)
        and not path.endswith(_WRITE_ONLY)
        and not _is_default(path, wanted)
    )


def _is_default(path: str, wanted: dict[str, object]) -> bool:
    plain = re.sub(r"\.\d+|\.#", "", path)
    return path not in wanted and any(
        plain == default or plain.startswith(f"{default}.") for default in _DEFAULTS
    )
