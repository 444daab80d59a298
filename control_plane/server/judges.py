"""Who judges where the guardrails of an endpoint do not say who: what the operator has set."""

from modelplane.adapters.shared.guardrail_rules import DefaultJudges
from modelplane.control_plane.endpoints.guardrail_judges import parse_judge
from modelplane.control_plane.settings import Settings

_SAFETY_FORMS = ("llama_guard", "verdict", "moderation", "custom_guardrail")
_TOPICS_FORMS = ("verdict",)


def default_judges(settings: Settings) -> DefaultJudges:
    """Return who judges by default.

    Raises:
        ValueError: A setting names no judge.
    """
    return DefaultJudges(
        parse_judge(settings.safety_judge, "MODELPLANE_SAFETY_JUDGE", forms=_SAFETY_FORMS),
        parse_judge(settings.topics_judge, "MODELPLANE_TOPICS_JUDGE", forms=_TOPICS_FORMS),
    )
