"""What an endpoint's guardrails look for, compiled from its AI Gateway settings; pure.

Part of the snapshot (`snapshots/`); `guard.py` applies it to calls.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from modelserving.v1 import ai_gateway_pb2 as pb

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.keywords import Keywords
from modelplane.data_plane.guardrails.pii import build_detectors

_BLOCK, _MASK, _NONE = "BLOCK", "MASK", "NONE"
_COMPILED = 1024


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
    """

    input: Checks | None
    output: Checks | None


def compile_guardrails(settings: pb.Guardrails) -> Guardrails | None:
    """Return what guardrails ask for, None where that is nothing.

    Raises:
        ConfigRefused: They ask for what this worker cannot do.
    """
    # Each change of an endpoint compiles anew what mostly has not changed.
    return _compile(settings.SerializeToString(deterministic=True))


@lru_cache(maxsize=_COMPILED)
def _compile(encoded: bytes) -> Guardrails | None:
    settings = pb.Guardrails.FromString(encoded)
    sides = Guardrails(_compile_side(settings.input), _compile_side(settings.output))
    return sides if sides.input or sides.output else None


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
