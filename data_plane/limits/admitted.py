"""A query that was admitted within limits: what was taken for it, and what of that it used.

Made by `gate.py`; `upstreams/relay.py` asks it whether a stream may go on. `reservation.py`
estimates tokens.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelplane.adapters.providers.types import Query, Usage
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.limits.quota import Counter
from modelplane.data_plane.limits.quota_contact import Contact
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.reservation import (
    DEFAULT_OUTPUT_TOKENS,
    UNSEEN_AT_ONCE,
    Estimate,
    estimate_prompt,
    output_bound,
)
from modelplane.data_plane.snapshots.limits import Rule, Unit

# A stream that outgrows what was reserved takes more in steps, and early enough that the control
# plane can be asked for a step; of a small limit, in small ones.
_STEP_TOKENS = 256
_SMALLEST_STEP = 16
_STEPS = 32
_HEADERS = {
    unit: tuple(f"x-ratelimit-{what}-{unit.value}" for what in ("limit", "remaining", "reset"))
    for unit in Unit
}


@dataclass(slots=True)
class _Take:
    """What was taken of one counter: `amount` in `window`, `before` in windows before it."""

    rule: Rule
    counter: Counter
    window: int
    amount: int
    before: int = 0

    def add(self, amount: int) -> None:
        """Note that more was taken now."""
        if self.window != self.counter.window:
            self.before += self.amount
            self.window, self.amount = self.counter.window, 0
        self.amount += amount


class LimitedAdmission:
    """One admitted query.

    Attributes:
        prompt: Tokens that its prompt is estimated to have.
        reserved: Tokens that it may use: likely ones, and more as a stream goes on.
    """

    __slots__ = (
        "_bound",
        "_clock",
        "_contact",
        "_estimate",
        "_leases",
        "_least",
        "_limit",
        "_most",
        "_output",
        "_takes",
        "_uncounted",
        "prompt",
        "reserved",
    )

    def __init__(self, leases: QuotaLeases, contact: Contact, clock: Callable[[], float]) -> None:
        """Start with nothing taken.

        Args:
            leases: Takes back what was not used.
            contact: Knows the windows.
            clock: Monotonic time, seconds.
        """
        self.prompt = self.reserved = 0
        self._leases = leases
        self._contact = contact
        self._clock = clock
        self._takes: list[_Take] = []
        self._uncounted = False
        self._output = 0

    @property
    def headers(self) -> Metadata:
        """What is left, in the manner of the OpenAI API."""
        return rate_limit_headers(self.counters, self._clock(), self._contact.seconds_left)

    @property
    def counters(self) -> Sequence[tuple[Rule, Counter]]:
        """What was taken from."""
        return [(take.rule, take.counter) for take in self._takes]

    @property
    def counts_output(self) -> bool:
        """Whether tokens are limited."""
        return self.reserved > 0

    @property
    def least(self) -> int:
        """Tokens that it likely uses at least."""
        return max(1, self.prompt + self._least) if self.reserved else 1

    @property
    def spare(self) -> float:
        """The part of what is reserved that it may not use."""
        return 1 - self.least / self.reserved if self.reserved else 0.0

    def reserve(self, query: Query, spec: TaskSpec, limit: int, estimate: Estimate) -> None:
        """Decide how many tokens to take: prompt and answer, but no more than a window has.

        Args:
            query: What they are for.
            spec: What there is to know of its task.
            limit: Smallest limit on tokens.
            estimate: What such queries use, which learns what this one does.
        """
        body = query.body
        self._limit = limit
        self._estimate = estimate
        self.prompt = estimate_prompt(query, spec.prompt)
        self._bound = output_bound(body)
        output = DEFAULT_OUTPUT_TOKENS if spec.generates else 0
        self._most = output if self._bound is None else self._bound
        self.resize()

    def resize(self) -> None:
        """Decide anew, by what was learned meanwhile."""
        known, limit = self._estimate.known(), self._limit
        if known is None:
            likely, self._least = min(self._most, max(1, limit // UNSEEN_AT_ONCE)), 0
        elif self._bound is None:
            likely, self._least = known.likely, known.least
        else:
            likely, self._least = min(known.likely, self._bound), min(known.least, self._bound)
        # What does not even fit with its prompt is never admitted.
        self.reserved = self.prompt
        if self.prompt <= limit:
            self.reserved = max(1, min(self.prompt + likely, limit))

    def amount_of(self, rule: Rule) -> int:
        """Return how much is needed of a rule's counter."""
        return 1 if rule.unit is Unit.REQUESTS else self.reserved

    def note(self, rule: Rule, counter: Counter, amount: int) -> None:
        """Note what was taken of a counter."""
        self._takes.append(_Take(rule, counter, counter.window, amount))

    def revoke(self) -> None:
        """Give everything back: the query is not admitted after all."""
        for take in self._takes:
            self._leases.settle(take.counter, take.amount, 0, take.window)

    def allows(self, output_tokens: int) -> bool:
        """Tell whether a stream that has had this many tokens may go on; take more if need be."""
        self._output = output_tokens
        step = min(_STEP_TOKENS, max(_SMALLEST_STEP, self._limit // _STEPS))
        used = self.prompt + output_tokens
        while used + step // 2 > self.reserved and not self._is_free:
            if not self._extend(step):
                return used < self.reserved
        return True

    def settle(self, usage: Usage | None, ending: Ending) -> None:
        """Give back tokens that were not used, and note those that were used beyond.

        The request itself stays counted, whatever became of it.
        """
        if not self.reserved:
            return
        used = self._used(usage, ending)
        if ending is Ending.ANSWERED:
            self._estimate.learn(used - self.prompt)
        for take in self._takes:
            if take.counter.settles:
                of_now = max(0, used - take.before)
                self._leases.settle(take.counter, take.amount, of_now, take.window)

    @property
    def _is_free(self) -> bool:
        """Whether a stream ends where it wants: what it may use is reserved, or not counted."""
        bound = self._bound
        return self._uncounted or (bound is not None and self.reserved >= self.prompt + bound)

    def _used(self, usage: Usage | None, ending: Ending) -> int:
        """Return the tokens that were used, as far as it is known."""
        if usage is None and ending is Ending.FAILED:
            return 0
        output = self._output
        if not output and ending is Ending.ANSWERED:
            # A whole answer of a provider that does not count.
            output = min(self._most, self._limit - self.prompt)
        if usage is None:
            return self.prompt + output
        known_input, known_output = usage.input_tokens, usage.output_tokens
        return (self.prompt if known_input is None else known_input) + (
            output if known_output is None else known_output
        )

    def _extend(self, step: int) -> bool:
        if self._contact.is_uncounted:
            self._uncounted = True
            return True
        now = self._clock()
        takes = [take for take in self._takes if take.rule.unit is Unit.TOKENS]
        taken = [self._leases.take_up_to(take.counter, step, now) for take in takes]
        step = min(taken, default=step)
        for take, amount in zip(takes, taken, strict=True):
            take.add(step)
            self._leases.settle(take.counter, amount - step, 0, take.window)
        self.reserved += step
        return step > 0


def rate_limit_headers(
    counters: Iterable[tuple[Rule, Counter]],
    now: float,
    seconds_left: Callable[[Counter, float], int],
) -> Metadata:
    """Return metadata on the counter of each unit that has least left.

    Args:
        counters: Counters that a query touched.
        now: Monotonic time, seconds.
        seconds_left: Returns the seconds until a counter's window is over.
    """
    tightest: dict[Unit, tuple[Rule, Counter]] = {}
    for item in counters:
        unit = item[0].unit
        found = tightest.get(unit)
        if found is None or _left(item[1]) < _left(found[1]):
            tightest[unit] = item
    headers = []
    for unit, (rule, counter) in tightest.items():
        limit, remaining, reset = _HEADERS[unit]
        headers.append((limit, str(rule.limit)))
        headers.append((remaining, str(_left(counter))))
        headers.append((reset, f"{seconds_left(counter, now)}s"))
    return tuple(headers)


def _left(counter: Counter) -> int:
    return counter.available + counter.remaining
