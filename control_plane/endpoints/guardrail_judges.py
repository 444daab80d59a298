"""Whether those exist who judge for an endpoint, may be asked, and do not ask round in a circle.

Before: `setting_changes`, `lifecycle`, in the transaction that stores the guardrails. After:
`store.endpoints.records`. Beside: `gateway_rules`, for what can be judged without the store.
"""

from collections.abc import Collection

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.guardrail_policy_pb2 import GuardrailJudge

from modelplane.adapters.shared.guardrail_rules import (
    DefaultJudges,
    PolicyRefused,
    check_judge,
)
from modelplane.control_plane.access import level_of
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.identity.grantees import find_by_folded_names

_CHAT = "llm/v1/chat"
_CHATTING = ("verdict", "llama_guard")
# Circles are told by their names; longer chains than this are none that anybody means.
_MOST_LINKS = 32


def parse_judge(text: str, name: str, *, forms: Collection[str]) -> GuardrailJudge | None:
    """Return the judge that a setting names: `endpoint` or `endpoint:form`; None: it is empty.

    Args:
        text: The setting.
        name: Its name.
        forms: Forms that it may have; the first is meant by default.

    Raises:
        ValueError: It names none.
    """
    if not text:
        return None
    endpoint, _, form = text.partition(":")
    if form and form not in forms:
        raise ValueError(f"{name} has the form '{form}'; use {', '.join(forms)}.")
    judge = GuardrailJudge(endpoint_name=endpoint, form=form or next(iter(forms)))
    try:
        check_judge(judge, name)
    except PolicyRefused as error:
        raise ValueError(str(error)) from None
    return judge


async def require_judges(
    session: Session,
    principal: Principal,
    endpoint: str,
    settings: EndpointSettings,
    defaults: DefaultJudges,
    *,
    old: EndpointSettings | None = None,
) -> None:
    """Check who judges for an endpoint.

    Args:
        session: Reads the store.
        principal: Who sets the guardrails.
        endpoint: Name of the endpoint.
        settings: What it is to have.
        defaults: Who judges where it does not say who.
        old: What it has had, whose judges stay whoever sets the rest.

    Raises:
        InvalidParameter: There is no such endpoint for the principal, or it cannot judge.
    """
    known = {judge.endpoint_name for judge in _named(old)} if old else set()
    for judge in (*_named(settings), *defaults.needed(settings.ai_gateway.guardrails)):
        record = await records.find(session, judge.endpoint_name)
        is_own = judge.endpoint_name == endpoint
        may_ask = record is not None and (
            judge.endpoint_name in known
            or judge in (defaults.safety, defaults.topics)
            or level_of(principal, record.grants) >= Level.CAN_QUERY
        )
        if record is None or not may_ask:
            raise InvalidParameter(
                f"The judge '{judge.endpoint_name[:100]}' does not exist, or you may not query it; "
                "name another endpoint, or create it first."
            )
        if not is_own:
            _check_form(record, judge)
        await _check_circle(session, endpoint, judge.endpoint_name, defaults)


async def require_exempt(session: Session, settings: EndpointSettings) -> None:
    """Check that those exist for whom policies do not hold.

    Raises:
        InvalidParameter: One does not.
    """
    names = {name for policy in settings.policies for name in policy.exempt}
    if not names:
        return
    # Workers compare names in the same way.
    found = {grantee.name.casefold() for grantee in await find_by_folded_names(session, names)}
    for policy in settings.policies:
        for name in policy.exempt:
            if name.casefold() not in found:
                raise InvalidParameter(
                    f"policies['{policy.name}'].exempt: there is no user, group or service "
                    f"principal '{name[:200]}'; create what is missing, or correct the name."
                )


def _named(settings: EndpointSettings) -> list[GuardrailJudge]:
    judges = [policy.judge for policy in settings.policies if policy.HasField("judge")]
    guardrails = settings.ai_gateway.guardrails
    return [*judges, guardrails.judge] if guardrails.HasField("judge") else judges


def _check_form(record: StoredEndpoint, judge: GuardrailJudge) -> None:
    """Check that an endpoint can be asked in the form of a judge, as far as that is known."""
    if record.newest is None:
        return
    for entity in record.newest.config.served_entities:
        task = entity.external_model.task if entity.HasField("external_model") else ""
        if task and (task != _CHAT or judge.form not in _CHATTING):
            raise InvalidParameter(
                f"The judge '{record.name}' serves an external model for {task}, which cannot be "
                f"asked in the form '{judge.form}'; use an endpoint for {_CHAT} with the form "
                f"{' or '.join(_CHATTING)}, or one that hosts a model of the form."
            )


async def _check_circle(
    session: Session, endpoint: str, judge: str, defaults: DefaultJudges
) -> None:
    """Check that nobody who is asked on behalf of an endpoint asks it in turn."""
    met = {judge}
    waiting = [judge]
    while waiting and len(met) <= _MOST_LINKS:
        name = waiting.pop()
        if name == endpoint:
            raise InvalidParameter(
                f"The judges of '{endpoint}' go round in a circle, by way of '{judge}'; let one of "
                "them be judged by nobody."
            )
        record = await records.find(session, name)
        if record is None:
            continue
        guardrails = record.settings.ai_gateway.guardrails
        asked = {other.endpoint_name for other in _named(record.settings)}
        asked |= {other.endpoint_name for other in defaults.needed(guardrails)}
        waiting += sorted(asked - met)
        met |= asked
