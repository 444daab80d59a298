"""What an endpoint's guardrails look for, compiled from its AI Gateway settings; pure.

Part of the snapshot (`snapshots/`); `guard.py` applies it to calls.
"""

from dataclasses import dataclass, field

from modelserving.v1 import ai_gateway_pb2 as pb

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.keywords import Keywords
from modelplane.data_plane.guardrails.pii import build_detectors

_BLOCK, _MASK, _NONE = "BLOCK", "MASK", "NONE"


@dataclass(frozen=True, slots=True)
class Checks:
    """What is looked for on one side.

    Attributes:
        detectors: Find it, at least one.
        finds_pii: Whether personal data is among it.
    """

    detectors: tuple[Detector, ...] = field(repr=False)
    finds_pii: bool


@dataclass(frozen=True, slots=True)
class Guardrails:
    """What is looked for.

    Attributes:
        input: In requests; None: nothing.
        output: In answers; None: nothing.
        settings: What they were compiled from, encoded.
    """

    input: Checks | None
    output: Checks | None
    settings: bytes = field(repr=False)


def compile_guardrails(settings: pb.Guardrails, old: Guardrails | None = None) -> Guardrails | None:
    """Return what guardrails ask for, None where that is nothing.

    Args:
        settings: The guardrails.
        old: What the endpoint has had before, which is kept where nothing changed.

    Raises:
        ConfigRefused: They ask for what this worker cannot do.
    """
    encoded = settings.SerializeToString(deterministic=True)
    if old is not None and old.settings == encoded:
        return old
    sides = _compile_side(settings.input), _compile_side(settings.output)
    return Guardrails(*sides, encoded) if any(sides) else None


def _compile_side(settings: pb.GuardrailParameters) -> Checks | None:
    if settings.safety or any(settings.valid_topics):
        raise ConfigRefused("the guardrails 'safety' and 'valid_topics' need a judge")
    behavior = settings.pii.behavior or _NONE
    if behavior not in (_BLOCK, _MASK, _NONE):
        raise ConfigRefused(f"the guardrail 'pii' has the unknown behavior '{behavior}'")
    detectors: list[Detector] = []
    if behavior != _NONE:
        detectors += build_detectors(blocks=behavior == _BLOCK)
    if any(settings.invalid_keywords):
        detectors.append(Keywords(settings.invalid_keywords))
    return Checks(tuple(detectors), behavior != _NONE) if detectors else None
