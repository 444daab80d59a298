"""What guardrails have found in a call, and how its caller is told; pure.

The forms are those of the mirrored product. No text that was found is ever part of them.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Usage
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.pii import ENTITIES
from modelplane.data_plane.guardrails.policy import Checks
from modelplane.data_plane.guardrails.rule import Measure

_NOTHING_USED: Mapping[str, object] = {"prompt_tokens": 0, "total_tokens": 0}


class Phase(StrEnum):
    """When something was looked for."""

    INPUT = "input"
    OUTPUT = "output"


class Action(StrEnum):
    """What guardrails did with a call; the strongest of it counts, which comes last."""

    NONE = "none"
    EXEMPT = "exempt"
    WOULD_MASK = "would_mask"
    WOULD_BLOCK = "would_block"
    MASKED = "masked"
    ERROR = "error"
    BLOCKED = "blocked"


_STRENGTH = {action: strength for strength, action in enumerate(Action)}


class Verdict(NamedTuple):
    """What guardrails did with a call, as it is recorded.

    Attributes:
        action: What was done.
        policy: Name of the policy that blocked, or would have; empty: none did.
        phase: Where it was; empty: nowhere.
        entities: How many of each kind were found, whatever is done about them.
        seconds: Time that it took to look, without that of judges.
        unread_parts: Parts of the request that could not be read.
        logged: What policies that only log would have done, by their names.
    """

    action: Action
    policy: str
    phase: str
    entities: Mapping[str, int]
    seconds: float
    unread_parts: int
    logged: Mapping[str, Measure]


def judge(found: Mapping[Phase, Findings], unread_parts: int, *, exempt: bool = False) -> Verdict:
    """Return what was done with a call.

    Args:
        found: What was found, on each side.
        unread_parts: Parts of the request that could not be read.
        exempt: Whether a policy did not hold because of who calls.
    """
    total: Counter[str] = Counter()
    logged: dict[str, Measure] = {}
    action, policy, where = Action.EXEMPT if exempt else Action.NONE, "", ""
    for phase, findings in found.items():
        total += findings.entities + findings.logged_entities
        logged |= findings.logged
        done = action_of(findings)
        if _STRENGTH[done] > _STRENGTH[action]:
            action, policy = done, _named(done, findings)
            where = phase if policy else ""
    seconds = sum(findings.seconds for findings in found.values())
    return Verdict(action, policy, where, total, seconds, unread_parts, logged)


def action_of(findings: Findings) -> Action:
    """Return what was done about findings."""
    if findings.rule is not None:
        return Action.BLOCKED
    if findings.unchecked:
        return Action.ERROR
    if findings.entities:
        return Action.MASKED
    if findings.logged:
        blocks = Measure.BLOCK in findings.logged.values()
        return Action.WOULD_BLOCK if blocks else Action.WOULD_MASK
    return Action.NONE


def _named(action: Action, findings: Findings) -> str:
    """Return the name of the policy to which an action is due, where it is only one."""
    if action is Action.BLOCKED:
        return policy_of(findings)
    if action is Action.ERROR:
        return findings.unchecked
    if action is Action.WOULD_BLOCK:
        return next(name for name, done in findings.logged.items() if done is Measure.BLOCK)
    return ""


def build_item(checks: Checks, findings: Findings, anonymized: object = None) -> JsonObject:
    """Return findings as the mirrored product tells them.

    Args:
        checks: What was looked for.
        findings: What was found.
        anonymized: The input without what was found, where that is told.
    """
    personal = any(entity in ENTITIES for entity in findings.entities)
    return {
        "flagged": any(entity not in ENTITIES for entity in findings.entities),
        "categories": dict(findings.categories) or None,
        "category_scores": dict(findings.scores) or None,
        "pii_detection": personal if checks.finds_pii else None,
        "anonymized_input": anonymized if personal else None,
    }


def build_message(phase: Phase, item: JsonObject, usage: Usage | None) -> str:
    """Return the text that says why there is no answer: JSON, which fits into a header.

    Args:
        phase: When it was found.
        item: What was found.
        usage: What the answer has used; None: no model was asked.
    """
    message = _encode(phase, item, usage)
    if shorten(message) != message:
        # Half of it would be no JSON.
        message = _encode(phase, {**item, "anonymized_input": None}, usage)
    return message


def explain(phase: Phase, findings: Findings) -> str:
    """Return why there is no answer, in words for whoever reads it: kinds and numbers alone."""
    what = "request" if phase is Phase.INPUT else "response"
    found = ", ".join(f"{count} {entity}" for entity, count in sorted(findings.entities.items()))
    return f"This {what} was blocked by the '{policy_of(findings)}' guardrail ({found})."


def policy_of(findings: Findings) -> str:
    """Return the name of the policy that blocks; empty: none does."""
    return findings.rule.name if findings.rule else ""


def _encode(phase: Phase, item: JsonObject, usage: Usage | None) -> str:
    told = {
        "usage": _NOTHING_USED if usage is None else _build_usage(usage),
        f"{phase}_guardrail": [item],
        "finishReason": f"{phase}_guardrail_triggered",
    }
    try:
        return orjson.dumps(told).decode()
    except NestedTooDeeply:
        return _encode(phase, {**item, "anonymized_input": None}, usage)


def _build_usage(usage: Usage) -> JsonObject:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
