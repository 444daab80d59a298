"""Which guardrails and policies are taken, and with which defaults; pure.

The control plane asks before it stores them (`control_plane/endpoints/gateway_rules.py`), a worker
before it tries some that were sent along (`data_plane/checking.py`). What depends on what is
stored, such as who judges, the control plane asks by itself.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelserving.v1.ai_gateway_pb2 import GuardrailParameters, Guardrails
from modelserving.v1.guardrail_policy_pb2 import GuardrailJudge, GuardrailPolicy

from modelplane.adapters.shared.patterns import PatternRefused, compile_patterns

MAX_POLICIES = 20
MAX_RANK = 1_000
DEFAULT_RANK = 100
MAX_WORDS = 200
MAX_WORD_CHARACTERS = 256
MAX_EXPRESSIONS = 50
MAX_EXEMPT = 50
MAX_NAME_CHARACTERS = 256
MAX_INSTRUCTION_CHARACTERS = 4_000
MIN_JUDGE_SECONDS, MAX_JUDGE_SECONDS = 0.1, 60.0
PII_BEHAVIORS = ("NONE", "BLOCK", "MASK")
PII_ENTITIES = ("CREDIT_CARD", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_BANK_NUMBER", "US_SSN")
# What only a model of the language could find.
_NAMED = ("PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME")
_PHASES, _MODES = ("input", "output"), ("enforce", "log")
_ACTIONS = ("block", "mask", "pseudonym")
_FORMS = ("verdict", "llama_guard", "moderation", "custom_guardrail")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class DefaultJudges:
    """Who judges where an endpoint does not say who.

    Attributes:
        safety: Judges whether a text is safe; None: nobody.
        topics: Judges whether it keeps to its topics; None: nobody.
    """

    safety: GuardrailJudge | None = None
    topics: GuardrailJudge | None = None

    def of_safety(self, guardrails: Guardrails) -> GuardrailJudge | None:
        """Return who judges of safety for guardrails that do not say who; None: nobody need."""
        return self.safety if _is_asked(guardrails) and asks_of_safety(guardrails) else None

    def of_topics(self, guardrails: Guardrails) -> GuardrailJudge | None:
        """Return the same of topics."""
        return self.topics if _is_asked(guardrails) and asks_of_topics(guardrails) else None

    def needed(self, guardrails: Guardrails) -> list[GuardrailJudge]:
        """Return those that guardrails need."""
        found = (self.of_safety(guardrails), self.of_topics(guardrails))
        return [judge for judge in found if judge is not None]


NO_JUDGES = DefaultJudges()


def _is_asked(guardrails: Guardrails) -> bool:
    return not guardrails.HasField("judge")


class PolicyRefused(ValueError):
    """Guardrails or a policy cannot be taken; the text says why, and what to change."""


def check_sides(guardrails: Guardrails) -> None:
    """Check the guardrails of the mirrored product.

    Raises:
        PolicyRefused: They break a rule.
    """
    where = "ai_gateway.guardrails"
    for side in _PHASES:
        _check_side(getattr(guardrails, side), f"{where}.{side}")
    if not guardrails.HasField("judge"):
        return
    judge = guardrails.judge
    check_judge(judge, f"{where}.judge")
    if judge.instructions or judge.valid_topics:
        raise PolicyRefused(
            f"{where}.judge: instructions and valid_topics are for judges of policies; remove them "
            "here, or make a policy."
        )
    asked = [checks.safety or any(checks.valid_topics) for checks in _sides(guardrails)]
    if not any(asked):
        raise PolicyRefused(
            f"{where}.judge has nothing to judge; set safety or valid_topics, or remove it."
        )
    if asks_of_topics(guardrails) and judge.form not in ("", "verdict"):
        raise PolicyRefused(
            f"{where}: valid_topics need a judge of the form 'verdict', and this one has "
            f"'{judge.form}'; use another judge, or topics in a policy."
        )


def asks_of_safety(guardrails: Guardrails) -> bool:
    """Tell whether guardrails need a judge of safety."""
    return any(checks.safety for checks in _sides(guardrails))


def asks_of_topics(guardrails: Guardrails) -> bool:
    """Tell whether guardrails need a judge of topics."""
    return any(any(checks.valid_topics) for checks in _sides(guardrails))


def looks_for_something(checks: GuardrailParameters) -> bool:
    """Tell whether one side of guardrails asks for anything."""
    looks = checks.pii.behavior not in ("", "NONE") or any(checks.invalid_keywords)
    return looks or checks.safety or any(checks.valid_topics)


def build_policies(given: Sequence[GuardrailPolicy]) -> list[GuardrailPolicy]:
    """Return policies with their defaults, ordered by rank and name.

    Raises:
        PolicyRefused: One breaks a rule.
    """
    if len(given) > MAX_POLICIES:
        raise PolicyRefused(
            f"policies has {len(given)} policies; at most {MAX_POLICIES} are allowed."
        )
    policies = [_build_policy(policy) for policy in given]
    for name, count in Counter(policy.name for policy in policies).items():
        if count > 1:
            raise PolicyRefused(f"policies has {count} policies named '{name}'; rename some.")
    return sorted(policies, key=lambda policy: (policy.rank, policy.name))


def check_judge(judge: GuardrailJudge, where: str) -> None:
    """Check who judges, and fill in how.

    Raises:
        PolicyRefused: It breaks a rule.
    """
    if not judge.endpoint_name:
        raise PolicyRefused(f"{where}.endpoint_name is required; set the name of an endpoint.")
    _choose(judge, "form", _FORMS, where)
    _choose(judge, "on_error", ("closed", "open"), where)
    if not judge.HasField("timeout_seconds"):
        judge.timeout_seconds = 10.0
    # The comparison is written so that NaN is refused.
    if not MIN_JUDGE_SECONDS <= judge.timeout_seconds <= MAX_JUDGE_SECONDS:
        raise PolicyRefused(
            f"{where}.timeout_seconds is {judge.timeout_seconds:g}; use {MIN_JUDGE_SECONDS:g} to "
            f"{MAX_JUDGE_SECONDS:g} seconds."
        )
    _check_length(judge.instructions, MAX_INSTRUCTION_CHARACTERS, f"{where}.instructions")
    check_words(judge.valid_topics, f"{where}.valid_topics", "topic")
    if judge.form != "verdict" and (judge.instructions or judge.valid_topics):
        raise PolicyRefused(
            f"{where}: a judge of the form '{judge.form}' knows by itself what must not pass; "
            "remove instructions and valid_topics, or use the form 'verdict'."
        )
    if judge.instructions and judge.valid_topics:
        raise PolicyRefused(f"{where} has instructions and valid_topics; keep one of them.")


def check_words(words: Sequence[str], where: str, kind: str) -> None:
    """Check a list of words.

    Raises:
        PolicyRefused: They are too many or too long, or one is blank.
    """
    if (count := len(words)) > MAX_WORDS:
        raise PolicyRefused(f"{where} has {count} {kind}s; at most {MAX_WORDS} are allowed.")
    for word in words:
        if not any(character.isprintable() and not character.isspace() for character in word):
            raise PolicyRefused(
                f"{where} has a blank {kind}, which every text would hold; remove it."
            )
        if len(word) > MAX_WORD_CHARACTERS:
            raise PolicyRefused(
                f"{where} has a {kind} of {len(word)} characters; at most {MAX_WORD_CHARACTERS} "
                "are allowed."
            )


def _sides(guardrails: Guardrails) -> Sequence[GuardrailParameters]:
    return guardrails.input, guardrails.output


def _check_side(checks: GuardrailParameters, where: str) -> None:
    behavior = checks.pii.behavior
    if checks.pii.HasField("behavior") and behavior not in PII_BEHAVIORS:
        raise PolicyRefused(
            f"{where}.pii.behavior '{behavior[:200]}' is unknown; use one of "
            f"{', '.join(PII_BEHAVIORS)}."
        )
    check_words(checks.invalid_keywords, f"{where}.invalid_keywords", "keyword")
    check_words(checks.valid_topics, f"{where}.valid_topics", "topic")


def _build_policy(given: GuardrailPolicy) -> GuardrailPolicy:
    policy = GuardrailPolicy()
    policy.CopyFrom(given)
    if not _NAME.fullmatch(policy.name):
        raise PolicyRefused(
            f"policies: the name '{policy.name[:100]}' is none; use 1 to 63 letters, digits, '_' "
            "and '-'."
        )
    where = f"policies['{policy.name}']"
    if not policy.HasField("rank"):
        policy.rank = DEFAULT_RANK
    if not 0 <= policy.rank <= MAX_RANK:
        raise PolicyRefused(f"{where}.rank is {policy.rank}; use 0 to {MAX_RANK}.")
    _choose(policy, "mode", _MODES, where)
    _choose(policy, "action", _ACTIONS, where)
    _choose(policy, "unscannable", ("allow", "block"), where)
    _complete_phases(policy, where)
    if not policy.HasField("sampling_fraction"):
        policy.sampling_fraction = 1.0
    if not 0 < policy.sampling_fraction <= 1:
        raise PolicyRefused(
            f"{where}.sampling_fraction is {policy.sampling_fraction:g}; use more than 0, and at "
            "most 1."
        )
    if len(policy.exempt) > MAX_EXEMPT:
        raise PolicyRefused(
            f"{where}.exempt has {len(policy.exempt)} names; at most {MAX_EXEMPT} are allowed: use "
            "a group."
        )
    for name in policy.exempt:
        _check_length(name, MAX_NAME_CHARACTERS, f"{where}.exempt")
    _check_detector(policy, where)
    return policy


def _complete_phases(policy: GuardrailPolicy, where: str) -> None:
    wanted = list(policy.phases)
    for phase in wanted:
        if phase not in _PHASES:
            raise PolicyRefused(
                f"{where}.phases: '{phase[:100]}' is unknown; use {' and '.join(_PHASES)}."
            )
    if not wanted:
        wanted = ["input"] if policy.action == "pseudonym" else list(_PHASES)
    policy.phases[:] = [phase for phase in _PHASES if phase in wanted]
    if policy.action == "pseudonym" and "output" in policy.phases:
        raise PolicyRefused(
            f"{where}: pseudonyms are given in requests, and answers have them restored; let "
            "phases be ['input'], or mask what answers hold by another policy."
        )
    if policy.unscannable == "block" and "input" not in policy.phases:
        raise PolicyRefused(
            f"{where}.unscannable is about requests; add 'input' to phases, or remove it."
        )


def _check_detector(policy: GuardrailPolicy, where: str) -> None:
    given = [field.name for field, _ in policy.ListFields() if field.name in _CHECKS]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise PolicyRefused(f"{where} needs exactly one of {', '.join(_CHECKS)}, and has {found}.")
    _CHECKS[given[0]](policy, where)


def _check_pii(policy: GuardrailPolicy, where: str) -> None:
    policy.pii.entities[:] = list(dict.fromkeys(policy.pii.entities)) or PII_ENTITIES
    for entity in policy.pii.entities:
        if entity in _NAMED:
            raise PolicyRefused(
                f"{where}.pii.entities: '{entity}' can be found by a model of the language alone, "
                "which is not available in this release; remove it, or let a judge look for it."
            )
        if entity not in PII_ENTITIES:
            raise PolicyRefused(
                f"{where}.pii.entities: '{entity[:100]}' is unknown; use {', '.join(PII_ENTITIES)}."
            )


def _check_keywords(policy: GuardrailPolicy, where: str) -> None:
    if not policy.keywords.words:
        raise PolicyRefused(f"{where}.keywords.words is required; set one at least.")
    check_words(policy.keywords.words, f"{where}.keywords.words", "word")


def _check_patterns(policy: GuardrailPolicy, where: str) -> None:
    where = f"{where}.patterns"
    given = policy.patterns
    if not given.expressions:
        raise PolicyRefused(f"{where}.expressions is required; set one at least.")
    if (count := len(given.expressions)) > MAX_EXPRESSIONS:
        raise PolicyRefused(
            f"{where}.expressions has {count} expressions; at most {MAX_EXPRESSIONS} are allowed."
        )
    given.entity = given.entity or "PATTERN"
    if not _ENTITY.fullmatch(given.entity):
        raise PolicyRefused(
            f"{where}.entity '{given.entity[:100]}' is none; use up to 40 capital letters, digits "
            "and '_', a letter first."
        )
    for expression in given.expressions:
        _compile([expression], f"{where}.expressions: '{expression[:100]}'")
    _compile(given.expressions, f"{where}.expressions: all of it")


def _compile(expressions: Sequence[str], what: str) -> None:
    try:
        compile_patterns(expressions)
    except PatternRefused as error:
        raise PolicyRefused(f"{what} {error}.") from None


def _check_policy_judge(policy: GuardrailPolicy, where: str) -> None:
    check_judge(policy.judge, f"{where}.judge")
    if policy.action != "block":
        raise PolicyRefused(
            f"{where}: a judge says whether a text may pass, not which part of it; let action be "
            "'block'."
        )


_CHECKS: Mapping[str, Callable[[GuardrailPolicy, str], None]] = {
    "pii": _check_pii,
    "keywords": _check_keywords,
    "patterns": _check_patterns,
    "judge": _check_policy_judge,
}


def _choose(
    message: GuardrailPolicy | GuardrailJudge, name: str, known: Sequence[str], where: str
) -> None:
    """Check a field that is one of a few texts, of which the first is the default."""
    value = getattr(message, name) or known[0]
    if value not in known:
        raise PolicyRefused(f"{where}.{name} '{value[:100]}' is unknown; use {', '.join(known)}.")
    setattr(message, name, value)


def _check_length(text: str, most: int, where: str) -> None:
    if len(text) > most:
        raise PolicyRefused(f"{where} has {len(text)} characters; at most {most} are allowed.")
