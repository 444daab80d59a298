"""What was found in the texts of one side of a call; pure. `scanner.py` and the judges tell it."""

from collections import Counter
from dataclasses import dataclass, field

from modelplane.data_plane.guardrails.detector import Span
from modelplane.data_plane.guardrails.pseudonyms import Pseudonyms
from modelplane.data_plane.guardrails.rule import Measure, Rule


@dataclass(slots=True)
class Findings:
    """What was found.

    Attributes:
        entities: How many of each kind something was done about.
        rule: What blocks, of several the first; None: nothing does.
        logged: What policies that only log would have done, by their names.
        logged_entities: How many of each kind they have found.
        unchecked: Name of a policy whose judge did not answer; empty: none.
        categories: What a judge says that a text is; empty: none has said anything.
        scores: How sure it is.
        seconds: Time that it has taken to look.
        asked_seconds: Time that judges have taken.
        beside: How many were asked for which the call did not wait.
        unjudged: How many of those were not asked, as too many were.
        pseudonyms: Gives them; None: no policy has any.
    """

    entities: Counter[str] = field(default_factory=Counter)
    rule: Rule | None = None
    logged: dict[str, Measure] = field(default_factory=dict)
    logged_entities: Counter[str] = field(default_factory=Counter)
    unchecked: str = ""
    categories: dict[str, bool] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    asked_seconds: float = field(default=0.0, compare=False)
    beside: int = field(default=0, compare=False)
    unjudged: int = field(default=0, compare=False)
    pseudonyms: Pseudonyms | None = field(default=None, compare=False)

    @property
    def blocked(self) -> bool:
        """Whether something was found that must not pass."""
        return self.rule is not None

    @property
    def total(self) -> int:
        """How much was found, whatever is done about it."""
        return self.entities.total() + self.logged_entities.total()

    def note(self, rule: Rule, entity: str) -> None:
        """Note that something was found.

        Args:
            rule: What is done about it.
            entity: What it is.
        """
        if rule.logs:
            self.logged_entities[entity] += 1
            self.logged[rule.name] = rule.measure
            return
        self.entities[entity] += 1
        if rule.blocks and (self.rule is None or rule.rank < self.rule.rank):
            self.rule = rule

    def mark(self, span: Span, text: str) -> str:
        """Note what was found, and return what stands in its place.

        Args:
            span: Where it is, and what.
            text: The text that was found.
        """
        self.note(span.rule, span.entity)
        if span.rule.measure is Measure.PSEUDONYM and self.pseudonyms is not None:
            return self.pseudonyms.name(span.entity, text)
        return f"<{span.entity}>"
