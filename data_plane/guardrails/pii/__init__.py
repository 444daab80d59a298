"""Personal data: the five kinds that the mirrored product looks for, by patterns and checks.

The names are those of Presidio (https://microsoft.github.io/presidio/supported_entities/), and so
are most of the rules: which kinds count only where a word before them says what they are, and which
a checksum decides about.
"""

from collections.abc import Collection, Sequence

from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.pii.emails import EMAIL_ADDRESS, Emails
from modelplane.data_plane.guardrails.pii.number_kinds import KINDS
from modelplane.data_plane.guardrails.pii.numbers import Numbers
from modelplane.data_plane.guardrails.rule import Rule

ENTITIES = frozenset({EMAIL_ADDRESS, *(kind.entity for kind in KINDS)})


def build_detectors(rule: Rule, entities: Collection[str] = ENTITIES) -> Sequence[Detector]:
    """Return what finds personal data.

    Args:
        rule: What is done about it.
        entities: The kinds, at least one.
    """
    found: list[Detector] = []
    if EMAIL_ADDRESS in entities:
        found.append(Emails(rule))
    if ENTITIES.intersection(entities) - {EMAIL_ADDRESS}:
        found.append(Numbers(rule, entities))
    return found
