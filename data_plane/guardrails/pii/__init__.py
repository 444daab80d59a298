"""Personal data: the five kinds that the mirrored product looks for, by patterns and checks.

The names are those of Presidio (https://microsoft.github.io/presidio/supported_entities/), and so
are most of the rules: which kinds count only where a word before them says what they are, and which
a checksum decides about.
"""

from collections.abc import Sequence

from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.pii.emails import Emails
from modelplane.data_plane.guardrails.pii.numbers import Numbers


def build_detectors(*, blocks: bool) -> Sequence[Detector]:
    """Return what finds personal data.

    Args:
        blocks: Whether a text that holds some must not pass.
    """
    return (Emails(blocks=blocks), Numbers(blocks=blocks))
