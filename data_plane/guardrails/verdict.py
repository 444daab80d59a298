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
from modelplane.data_plane.guardrails.keywords import KEYWORD
from modelplane.data_plane.guardrails.policy import Checks
from modelplane.data_plane.guardrails.scanner import Findings

_NOTHING_USED: Mapping[str, object] = {"prompt_tokens": 0, "total_tokens": 0}


class Phase(StrEnum):
    """When something was looked for."""

    INPUT = "input"
    OUTPUT = "output"


class Action(StrEnum):
    """What guardrails did with a call; the strongest of it counts."""

    NONE = "none"
    MASKED = "masked"
    BLOCKED = "blocked"


class Verdict(NamedTuple):
    """What guardrails did with a call, as it is recorded.

    Attributes:
        action: What was done.
        policy: Name of the guardrail that blocked; empty: none did.
        phase: Where it blocked; empty: nowhere.
        entities: How many of each kind were found.
        seconds: Time that it took to look.
        unread_parts: Parts of the request that could not be read.
    """

    action: Action
    policy: str
    phase: str
    entities: Mapping[str, int]
    seconds: float
    unread_parts: int


def judge(found: Mapping[Phase, Findings], unread_parts: int) -> Verdict:
    """Return what was done with a call in which something was found, or nothing."""
    total: Counter[str] = Counter()
    for findings in found.values():
        total += findings.entities
    seconds = sum(findings.seconds for findings in found.values())
    for phase, findings in found.items():
        if findings.blocked:
            policy = policy_of(findings)
            return Verdict(Action.BLOCKED, policy, phase, total, seconds, unread_parts)
    action = Action.MASKED if total else Action.NONE
    return Verdict(action, "", "", total, seconds, unread_parts)


def action_of(findings: Findings) -> Action:
    """Return what was done about findings."""
    if findings.blocked:
        return Action.BLOCKED
    return Action.MASKED if findings.entities else Action.NONE


def build_item(checks: Checks, findings: Findings, anonymized: object = None) -> JsonObject:
    """Return findings as the mirrored product tells them.

    Args:
        checks: What was looked for.
        findings: What was found.
        anonymized: The input without what was found, where that is told.
    """
    personal = any(entity != KEYWORD for entity in findings.entities)
    return {
        "flagged": bool(findings.entities[KEYWORD]),
        "categories": None,
        "category_scores": None,
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
    """Return the name of the guardrail that blocks."""
    return "invalid_keywords" if findings.entities[KEYWORD] else "pii"


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
