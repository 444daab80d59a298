"""What a policy says is done about what it finds; pure.

Every detector carries one into what it finds (`detector.py`), and `scanner.py` acts on it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Measure(StrEnum):
    """What is done about what was found."""

    MASK = "masked"
    PSEUDONYM = "pseudonym"
    BLOCK = "blocked"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy says is done.

    Attributes:
        name: Name of the policy.
        rank: Of several that find something, the one with the lowest counts.
        measure: What is done.
        logs: Whether it is not done, but recorded.
    """

    name: str
    rank: int = 0
    measure: Measure = Measure.BLOCK
    logs: bool = False

    @property
    def blocks(self) -> bool:
        """Whether a text in which it finds something must not pass."""
        return self.measure is Measure.BLOCK and not self.logs
