"""What an endpoint's guardrails look for, compiled from its settings; pure.

There is one engine: what the mirrored product calls guardrails becomes policies, too. Part of the
snapshot (`snapshots/`); `guard.py` applies it to calls.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from google.protobuf.message import Message
from modelserving.v1 import ai_gateway_pb2 as gateway_pb
from modelserving.v1 import guardrail_policy_pb2 as pb

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.shared.patterns import PatternRefused
from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.judges import SAFETY, TOPICS, Judge, compile_judge
from modelplane.data_plane.guardrails.keywords import Keywords
from modelplane.data_plane.guardrails.patterns import PATTERN, Patterns
from modelplane.data_plane.guardrails.pii import ENTITIES, build_detectors
from modelplane.data_plane.guardrails.rule import Measure, Rule

INPUT, OUTPUT = "input", "output"
_MEASURES = {"block": Measure.BLOCK, "mask": Measure.MASK, "pseudonym": Measure.PSEUDONYM}
# As the mirrored product calls them; policies have ranks from 0 on.
_KEYWORDS, _PII = Rule("invalid_keywords", -4), "pii"
_SAFETY, _TOPICS = Rule(SAFETY, -2), Rule(TOPICS, -1)
_DEFAULT_RANK = 100
_MOST_CHOICES = 64
_SHARE = 2**64


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy.

    Attributes:
        rule: What is done about what it finds.
        phases: Where it looks.
        detectors: Find it; none: a judge does.
        judge: Says whether a text may pass; None: detectors do.
        finds_pii: Whether personal data is what it looks for.
        blocks_unread: Whether parts that cannot be read count as found.
        exempt: Names, folded, of those for whose calls it does not hold.
        share: Of the calls for which it holds, of `_SHARE`.
    """

    rule: Rule
    phases: tuple[str, ...]
    detectors: tuple[Detector, ...] = field(default=(), repr=False)
    judge: Judge | None = None
    finds_pii: bool = False
    blocks_unread: bool = False
    exempt: frozenset[str] = frozenset()
    share: int = _SHARE


@dataclass(frozen=True, slots=True)
class Checks:
    """What is looked for on one side.

    Attributes:
        detectors: Find it.
        judges: Are asked, in the order of their ranks.
        unread: What is done about parts that cannot be read.
        finds_pii: Whether personal data is looked for.
        enforces: Whether something may be done about what is found, rather than recorded alone.
        settings: What it was compiled from, as a digest.
    """

    detectors: tuple[Detector, ...] = field(repr=False)
    judges: tuple[Judge, ...] = ()
    unread: tuple[Rule, ...] = ()
    finds_pii: bool = False
    enforces: bool = True
    settings: bytes = field(default=b"", repr=False)

    @property
    def withholds(self) -> bool:
        """Whether nothing of an answer may leave before all of it was judged."""
        return any(not judge.rule.logs for judge in self.judges)


class Rules(NamedTuple):
    """What is looked for in one call.

    Attributes:
        input: In its request; None: nothing.
        output: In its answer; None: nothing.
        exempts: Whether a policy does not hold because of who calls.
        pseudonym_key: Makes pseudonyms; empty: there are none.
    """

    input: Checks | None
    output: Checks | None
    exempts: bool = False
    pseudonym_key: bytes = b""

    @property
    def changes_answers(self) -> bool:
        """Whether something may be done about an answer."""
        return bool(self.pseudonym_key) or (self.output is not None and self.output.enforces)

    @property
    def has_judges(self) -> bool:
        """Whether a judge is asked."""
        return any(side is not None and side.judges for side in (self.input, self.output))


class Guardrails:
    """The guardrails of an endpoint.

    Attributes:
        settings: What they were compiled from, encoded.
    """

    def __init__(
        self, policies: Sequence[Policy], settings: bytes, pseudonym_key: bytes = b""
    ) -> None:
        """Keep what was compiled, at least one policy."""
        self.settings = settings
        self._policies = tuple(sorted(policies, key=lambda policy: policy.rule.rank))
        self._key = pseudonym_key
        self._choose: Callable[..., Rules] = lru_cache(_MOST_CHOICES)(self._build)
        self._varies = any(policy.exempt or policy.share < _SHARE for policy in policies)
        self._all = self._build((True,) * len(policies), exempts=False)

    @property
    def endpoints(self) -> frozenset[str]:
        """Names of the endpoints that judge."""
        return frozenset(policy.judge.endpoint for policy in self._policies if policy.judge)

    def rules(self, names: Iterable[str] = (), call: str = "") -> Rules:
        """Return what is looked for in a call.

        Args:
            names: What whoever calls is named, and what groups that they are in.
            call: Identifier of the call.
        """
        if not self._varies:
            return self._all
        known = {name.casefold() for name in names}
        exempt = [not policy.exempt.isdisjoint(known) for policy in self._policies]
        holds = tuple(
            not free and (policy.share == _SHARE or _place(call, policy.rule.name) < policy.share)
            for free, policy in zip(exempt, self._policies, strict=True)
        )
        return self._choose(holds, exempts=any(exempt))

    def _build(self, holds: Sequence[bool], *, exempts: bool) -> Rules:
        policies = [policy for policy, held in zip(self._policies, holds, strict=True) if held]
        settings = blake2b(self.settings + bytes(holds), digest_size=16).digest()
        first = _build_side(policies, INPUT, settings)
        return Rules(first, _build_side(policies, OUTPUT, settings), exempts, self._key)


def compile_guardrails(
    settings: gateway_pb.Guardrails,
    old: Guardrails | None = None,
    policies: Iterable[pb.GuardrailPolicy] = (),
    *,
    safety: pb.GuardrailJudge | None = None,
    topics: pb.GuardrailJudge | None = None,
    key: bytes = b"",
) -> Guardrails | None:
    """Return what an endpoint's guardrails and policies ask for, None where that is nothing.

    Args:
        settings: The guardrails.
        old: What the endpoint has had before, which is kept where nothing changed.
        policies: Its policies.
        safety: Judges of safety, unless the guardrails say who; None: nobody.
        topics: The same of topics.
        key: Makes pseudonyms; empty: no policy has any.

    Raises:
        ConfigRefused: They ask for what this worker cannot do.
    """
    policies = tuple(policies)
    encoded = _encode(settings, *policies, safety, topics) + key
    if old is not None and old.settings == encoded:
        return old
    if settings.HasField("judge"):
        safety = topics = settings.judge
    found = [
        policy
        for phase, side in ((INPUT, settings.input), (OUTPUT, settings.output))
        for policy in _compile_side(phase, side, safety, topics)
    ]
    found += [_compile_policy(policy, key) for policy in policies]
    return Guardrails(found, encoded, key) if found else None


def _encode(*messages: Message | None) -> bytes:
    encoded = (
        message.SerializeToString(deterministic=True) if message else b"" for message in messages
    )
    return b"".join(len(text).to_bytes(4) + text for text in encoded)


def _build_side(policies: Sequence[Policy], phase: str, settings: bytes) -> Checks | None:
    here = [policy for policy in policies if phase in policy.phases]
    if not here:
        return None
    return Checks(
        tuple(detector for policy in here for detector in policy.detectors),
        tuple(policy.judge for policy in here if policy.judge),
        tuple(policy.rule for policy in here if policy.blocks_unread and phase == INPUT),
        any(policy.finds_pii for policy in here),
        any(not policy.rule.logs for policy in here),
        settings,
    )


def _compile_side(
    phase: str,
    settings: gateway_pb.GuardrailParameters,
    safety: pb.GuardrailJudge | None,
    topics: pb.GuardrailJudge | None,
) -> Iterable[Policy]:
    """Yield the policies that one side of the mirrored product's guardrails is."""
    if any(settings.invalid_keywords):
        yield Policy(_KEYWORDS, (phase,), (Keywords(settings.invalid_keywords, _KEYWORDS),))
    behavior = settings.pii.behavior or "NONE"
    if behavior != "NONE":
        if behavior not in ("BLOCK", "MASK"):
            raise ConfigRefused(f"the guardrail 'pii' has the unknown behavior '{behavior}'")
        rule = Rule(_PII, -3, _MEASURES[behavior.lower()])
        yield Policy(rule, (phase,), tuple(build_detectors(rule)), finds_pii=True)
    if settings.safety:
        yield Policy(_SAFETY, (phase,), judge=compile_judge(_SAFETY, safety))
    if given := [topic for topic in settings.valid_topics if topic]:
        yield Policy(_TOPICS, (phase,), judge=compile_judge(_TOPICS, topics, given))


def _compile_policy(message: pb.GuardrailPolicy, key: bytes) -> Policy:
    measure = _MEASURES.get(message.action or "block")
    if measure is None:
        raise ConfigRefused(
            f"the policy '{message.name}' has the unknown action '{message.action}'"
        )
    if measure is Measure.PSEUDONYM and not key:
        raise ConfigRefused(f"the pseudonyms of the policy '{message.name}' have no key")
    rank = message.rank if message.HasField("rank") else _DEFAULT_RANK
    rule = Rule(message.name, rank, measure, message.mode == "log")
    share = message.sampling_fraction if message.HasField("sampling_fraction") else 1.0
    return Policy(
        rule,
        tuple(message.phases) or (INPUT, OUTPUT),
        tuple(_compile_detectors(message, rule)),
        compile_judge(rule, message.judge) if message.HasField("judge") else None,
        message.HasField("pii"),
        message.unscannable == "block",
        frozenset(name.casefold() for name in message.exempt),
        round(share * _SHARE),
    )


def _compile_detectors(message: pb.GuardrailPolicy, rule: Rule) -> Sequence[Detector]:
    if message.HasField("pii"):
        return build_detectors(rule, message.pii.entities or ENTITIES)
    if message.HasField("keywords"):
        return (Keywords(message.keywords.words, rule),)
    if not message.HasField("patterns"):
        return ()
    given = message.patterns
    try:
        return (Patterns(given.expressions, given.entity or PATTERN, rule),)
    except PatternRefused as error:
        raise ConfigRefused(f"a pattern of the policy '{message.name}' {error}") from None


def _place(call: str, policy: str) -> int:
    """Return where a call is among all, as far as a policy is concerned."""
    digest = blake2b(f"{call}\0{policy}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
