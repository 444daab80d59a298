"""Says what guardrails would do about a text: `CheckGuardrails`. Nothing is kept of it.

Asked for by `invocation.py`. What is looked for are the guardrails of an endpoint, as they hold for
whoever asks, or such as they send along to try them.
"""

from collections.abc import Sequence

from google.protobuf import json_format
from modelserving.v1 import ai_gateway_pb2 as gateway_pb
from modelserving.v1 import guardrail_policy_pb2 as pb

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.guardrail_rules import PolicyRefused, build_policies, check_sides
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID
from modelplane.data_plane.access import authorize
from modelplane.data_plane.calls.call import Call, Reply, Service
from modelplane.data_plane.calls.judging import Court, review
from modelplane.data_plane.calls.query import parse_body
from modelplane.data_plane.calls.taking_turns import take_turns
from modelplane.data_plane.errors import EndpointNotFound, GuardrailTriggered, InvalidParameter
from modelplane.data_plane.guardrails.conversation import turns_of_answer, turns_of_request
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.policy import Guardrails, compile_guardrails
from modelplane.data_plane.guardrails.rule import Rule
from modelplane.data_plane.guardrails.scanner import find_all
from modelplane.data_plane.guardrails.verdict import Action, Phase, action_of
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import Snapshot

MAX_TEXT_CHARACTERS = 100_000
MAX_BODY_BYTES = 1 << 20
_FIELDS = ("text", "direction", "name", "guardrails", "policies")
_PHASES = {"INPUT": Phase.INPUT, "OUTPUT": Phase.OUTPUT}
_ACTIONS = {Action.BLOCKED: "BLOCK", Action.ERROR: "BLOCK", Action.MASKED: "MASK"}
_NOTHING = "NONE"
# Makes pseudonyms that are for nobody.
_KEY = b"of a check"


async def check_guardrails(
    service: Service, snapshot: Snapshot, principal: Principal, call: Call, reply: Reply
) -> None:
    """Answer a call.

    Args:
        service: Answers what judges are asked.
        snapshot: Has the endpoints.
        principal: Who asks.
        call: The call.
        reply: Takes the answer.

    Raises:
        DataPlaneError: The call is refused.
    """
    if call.receive is not None:
        await call.receive(call)
    if isinstance(call.body, bytes) and len(call.body) > MAX_BODY_BYTES:
        raise InvalidParameter(f"A check may have at most {MAX_BODY_BYTES} bytes; send less text.")
    body = parse_body(call.body)
    text, phase = _read(body)
    guardrails = _choose(snapshot, principal, body)
    told: JsonObject = {"action": _NOTHING, "text": text, "findings": []}
    if guardrails is not None:
        rules = guardrails.rules((principal.name, *principal.group_names), call.request_id)
        guard = Guard(rules, principal.id)
        court = Court(service, call, str(body.get("name") or ""), principal)
        told = await _check(guard, court, phase, text)
    await reply.answer(((REQUEST_ID, call.request_id),), reply.encode(told))


def _read(body: JsonObject) -> tuple[str, Phase]:
    """Return the text, and the side that it is on."""
    if unknown := sorted(set(body) - set(_FIELDS)):
        raise InvalidParameter(
            f"A check has no field '{unknown[0][:100]}'; it has {', '.join(_FIELDS)}."
        )
    text, direction = body.get("text"), body.get("direction", "INPUT")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidParameter(
            f"'text' must be a text of at most {MAX_TEXT_CHARACTERS:,} characters."
        )
    if not isinstance(direction, str) or direction not in _PHASES:
        raise InvalidParameter(f"'direction' must be one of {', '.join(_PHASES)}.")
    return text, _PHASES[direction]


def _choose(snapshot: Snapshot, principal: Principal, body: JsonObject) -> Guardrails | None:
    """Return the guardrails that are meant."""
    name = body.get("name")
    if name is not None:
        if "guardrails" in body or "policies" in body:
            raise InvalidParameter(
                "'name' asks for the guardrails of an endpoint: leave out 'guardrails' and "
                "'policies', or it."
            )
        endpoint = snapshot.names.get(name) if isinstance(name, str) else None
        if endpoint is None:
            raise EndpointNotFound
        authorize(principal, endpoint)
        return endpoint.guardrails
    guardrails = _compile(body)
    for judge in guardrails.endpoints if guardrails else ():
        endpoint = snapshot.names.get(judge)
        if endpoint is None:
            raise EndpointNotFound
        authorize(principal, endpoint)
    return guardrails


def _compile(body: JsonObject) -> Guardrails | None:
    given, settings = body.get("policies", []), gateway_pb.Guardrails()
    wanted = body.get("guardrails", {})
    if not isinstance(given, list) or not isinstance(wanted, dict):
        raise InvalidParameter("'policies' must be a list, and 'guardrails' an object.")
    try:
        json_format.ParseDict(wanted, settings)
        policies = [json_format.ParseDict(one, pb.GuardrailPolicy()) for one in given]
        check_sides(settings)
        return compile_guardrails(settings, None, build_policies(policies), key=_KEY)
    except (json_format.ParseError, AttributeError, TypeError) as error:
        raise InvalidParameter(f"The guardrails cannot be read: {str(error)[:300]}") from None
    except (PolicyRefused, ConfigRefused) as error:
        raise InvalidParameter(f"The guardrails cannot be used: {error}") from None


async def _check(guard: Guard, court: Court, phase: Phase, text: str) -> JsonObject:
    """Return what is done about a text."""
    checks, findings = guard.checks(phase), guard.found[phase]
    if checks is None:
        return {"action": _NOTHING, "text": text, "findings": []}
    message: JsonObject = {"role": "user" if phase is Phase.INPUT else "assistant", "content": text}
    body: JsonObject = {"messages": [message]}
    answer: JsonObject = {"choices": [{"message": message}]}
    is_request = phase is Phase.INPUT
    try:
        await take_turns(
            guard.read_request(body) if is_request else guard.read_answer(answer, None)
        )
        turns = turns_of_request(body) if is_request else turns_of_answer(answer)
        await review(guard, court, phase, turns)
    except GuardrailTriggered:
        # The action says so.
        pass
    found = [
        _tell(span.rule, span.entity) | {"start": span.start, "end": span.end}
        for span in find_all(checks.detectors, text)
    ]
    found += _told_by_judges(findings, [judge.rule for judge in checks.judges])
    return {
        "action": _ACTIONS.get(action_of(findings), _NOTHING),
        "text": message["content"],
        "findings": found,
    }


def _told_by_judges(findings: Findings, rules: Sequence[Rule]) -> list[JsonObject]:
    """Return what judges have found, which is no part of a text but all of it."""
    flagged = [rule for rule in rules if rule.name in findings.logged or findings.rule == rule]
    score = max(findings.scores.values(), default=None)
    told = {} if score is None else {"score": score}
    return [_tell(rule, "VERDICT") | told for rule in flagged]


def _tell(rule: Rule, entity: str) -> JsonObject:
    return {
        "kind": entity,
        "policy": rule.name,
        "action": rule.measure.name,
        "mode": "log" if rule.logs else "enforce",
    }
