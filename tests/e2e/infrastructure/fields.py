"""What Terraform's provider and asset bundles know of an endpoint, from the SDK's own classes.

Both are built on the Go SDK, whose types are generated from the same specification as those of the
Python SDK. So a field that is none of them is never read, one that is optional is not sent while it
is zero ("omitempty"), and one that is required always is.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from databricks.sdk.service import serving

from tests.e2e.rest import Json

# CreateServingEndpoint of github.com/databricks/databricks-sdk-go, service/serving/model.go, whose
# fields the Python SDK takes as arguments.
ENDPOINT: Mapping[str, Any] = {
    "ai_gateway": serving.AiGatewayConfig,
    "budget_policy_id": str,
    "config": serving.EndpointCoreConfigInput,
    "description": str,
    "email_notifications": serving.EmailNotifications,
    "name": str,
    "rate_limits": list[serving.RateLimit],
    "route_optimized": bool,
    "tags": list[serving.EndpointTag],
}
# The Go SDK has it as a part of the path alone.
_IN_PATH = (serving.EndpointCoreConfigInput, "name")


def _fields(kind: Any) -> Iterator[tuple[str, Any, bool]]:
    """Give the name and the type of each field, and whether it is required."""
    if isinstance(kind, Mapping):
        yield from ((name, of, name == "name") for name, of in kind.items())
        return
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if (kind, field.name) != _IN_PATH:
            required = field.default is dataclasses.MISSING
            yield field.name, _bare(hints[field.name]), required


def _bare(hint: Any) -> Any:
    """Return what may be absent, without that it may."""
    kinds = [one for one in get_args(hint) if one is not type(None)]
    return kinds[0] if kinds and len(kinds) < len(get_args(hint)) else hint


def _is_message(kind: Any) -> bool:
    return isinstance(kind, Mapping) or dataclasses.is_dataclass(kind)


def known(value: Any, kind: Any = ENDPOINT) -> Any:
    """Return what of an answer is read: fields that can also be set."""
    if _is_message(kind):
        of = {name: field for name, field, _ in _fields(kind)}
        read = {name: known(one, of[name]) for name, one in value.items() if name in of}
        # A map without entries is as none; a message without fields is not.
        return {name: one for name, one in read.items() if one != {} or _is_message(of[name])}
    if get_origin(kind) is list:
        return [known(one, get_args(kind)[0]) for one in value]
    return value


def sent(value: Any, kind: Any = ENDPOINT) -> Any:
    """Return what is sent of what was declared: the JSON of Go's structs."""
    if _is_message(kind):
        found: Json = {}
        for name, of, required in _fields(kind):
            one = sent(value[name], of) if name in value else None
            # A message that is there is sent, even when it is empty.
            if one or (isinstance(one, dict) and _is_message(of)):
                found[name] = one
            elif required and not _is_message(of):
                found[name] = one or _zero(of)
        return found
    if get_origin(kind) is list:
        return [sent(one, get_args(kind)[0]) for one in value]
    return value


def _zero(kind: Any) -> Any:
    return kind() if kind in (bool, int, str) else ""


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return every value below its path; what is zero is as if it was not there."""
    if isinstance(value, Mapping):
        found = {f"{path}.#": 1} if path else {}
        for name, one in value.items():
            found |= flat(one, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list):
        found = {f"{path}.#": len(value)} if value else {}
        for place, one in enumerate(value):
            found |= flat(one, f"{path}.{place}")
        return found
    return {path: value} if value else {}
