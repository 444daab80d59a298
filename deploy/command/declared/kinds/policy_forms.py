"""One form for guardrail policies as they are declared, and as the API shows them: pure.

Before: `endpoint_forms`, `endpoints`. The defaults are those of
`adapters/shared/guardrail_rules.py`.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.shared.guardrail_rules import DEFAULT_RANK, PII_ENTITIES
from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.tables import member
from modelplane.deploy.command.declared.differences import pruned

POLICIES = "policies"
_PHASES = ("input", "output")
_DEFAULTS: Json = {
    "rank": DEFAULT_RANK,
    "mode": "enforce",
    "action": "block",
    "unscannable": "allow",
    "sampling_fraction": 1,
}
_JUDGE: Json = {"form": "verdict", "on_error": "closed", "timeout_seconds": 10}


def policies(given: Sequence[Json]) -> list[Json]:
    """Return policies with their defaults."""
    found: list[Json] = pruned([_policy(one) for one in given])
    return found


def judge(given: Mapping[str, object]) -> Json:
    """Return a judge with its defaults."""
    return _filled(given, _JUDGE)


def guard_requests(given: Sequence[Json]) -> bool:
    """Tell whether a policy keeps what it finds out of requests, as redacted tables need."""
    found = policies(given)
    phases = (one["phases"] for one in found if one["mode"] != "log")
    return any(isinstance(named, list) and "input" in named for named in phases)


def judges_of(body: Json) -> set[str]:
    """Return the names of the endpoints that judge for one that is declared."""
    judging = [member(one, "judge") for one in body.get(POLICIES, [])]
    judging.append(member(body.get("ai_gateway", {}), "guardrails", "judge"))
    names = (member(one, "endpoint_name") for one in judging)
    return {name for name in names if isinstance(name, str)}


def _policy(given: Json) -> Json:
    policy = _filled(given, _DEFAULTS)
    named = policy.get("phases") or (_PHASES[:1] if policy["action"] == "pseudonym" else _PHASES)
    policy["phases"] = _each_once(named, _PHASES)
    if isinstance(pii := policy.get("pii"), Mapping):
        policy["pii"] = {**pii, "entities": _each_once(pii.get("entities") or PII_ENTITIES)}
    if isinstance(patterns := policy.get("patterns"), Mapping):
        policy["patterns"] = _filled(patterns, {"entity": "PATTERN"})
    if isinstance(judging := policy.get("judge"), Mapping):
        policy["judge"] = judge(judging)
    return policy


def _each_once(given: object, order: Sequence[str] = ()) -> object:
    """Return the texts of a list without repeats, those of an order in that; else what is given."""
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        return given
    return sorted(dict.fromkeys(given), key=lambda one: order.index(one) if one in order else -1)


def _filled(given: Mapping[str, object], defaults: Json) -> Json:
    """Return members, with defaults for those that are not set, or empty."""
    return {**defaults, **{name: one for name, one in given.items() if one not in (None, "")}}
