"""Admits queries within the limits of their endpoint, from memory wherever there is quota.

The gate of `admission.py` for `invocation.py`. `snapshots/limits.py` says which limits a query
falls under, `quota_leases.py` has the quota, `admitted.py` is what was admitted.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelplane.adapters.providers.types import Query
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.errors import LimitExceeded
from modelplane.data_plane.limits.admission import Admission, Unlimited
from modelplane.data_plane.limits.admitted import LimitedAdmission, rate_limit_headers
from modelplane.data_plane.limits.quota import WINDOW_SECONDS, Counter, Verdict
from modelplane.data_plane.limits.quota_contact import Contact
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.limits import Limits, Rule, Unit
from modelplane.data_plane.snapshots.snapshot import Endpoint

_UNLIMITED = Unlimited()
_PLANS_FORGOTTEN_AT_ONCE = 4
_UNIT_TEXTS = {
    Unit.REQUESTS: "Requests-per-minute (RPM)",
    Unit.TOKENS: "Tokens-per-minute (TPM)",
}
_PlanKey = tuple[str, str]
_Alternatives = tuple[tuple[Rule, Counter], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the queries of one caller to one endpoint must satisfy.

    Attributes:
        limits: Limits that it was made from.
        principal: Caller that it was made for.
        requirements: Alternatives, of each of which one must have room.
        tokens: Smallest limit on tokens; None: there is none.
    """

    limits: Limits
    principal: Principal
    requirements: tuple[_Alternatives, ...]
    tokens: int | None


class LimitGate:
    """Admits queries that their endpoint's limits allow."""

    def __init__(
        self,
        leases: QuotaLeases,
        contact: Contact,
        metrics: QuotaMetrics,
        clock: Callable[[], float],
    ) -> None:
        """Take quota from `leases`.

        Args:
            leases: Has the quota.
            contact: Knows the windows.
            metrics: Counts refusals.
            clock: Monotonic time, seconds.
        """
        self._leases = leases
        self._contact = contact
        self._metrics = metrics
        self._clock = clock
        # Plans of those who have called since `_aged_at`, of those who last called in the minute
        # before it, and of those who are forgotten, with the counters that nobody else has.
        self._plans: dict[_PlanKey, _Plan] = {}
        self._aging: dict[_PlanKey, _Plan] = {}
        self._forgotten: dict[_PlanKey, _Plan] = {}
        self._aged_at = clock()

    async def admit(
        self, endpoint: Endpoint, principal: Principal, query: Query, spec: TaskSpec
    ) -> Admission:
        """Admit a query; see `admission.Gate`.

        Raises:
            LimitExceeded: A limit does not allow it now.
            LimitsUnavailable: No control plane answers, and the policy for that is to refuse.
        """
        limits = endpoint.limits
        if limits is None:
            return _UNLIMITED
        plan = self._plans.get((endpoint.id, principal.id))
        if plan is None or plan.limits is not limits or plan.principal is not principal:
            plan = self._plan(endpoint, principal, limits)
        now = self._clock()
        admission = LimitedAdmission(self._leases, self._contact, self._clock)
        if plan.tokens is not None:
            admission.reserve(query, spec, plan.tokens)
        for alternatives in plan.requirements:
            rule, counter = alternatives[0]
            amount = 1 if rule.unit is Unit.REQUESTS else admission.reserved
            if counter.take(amount, now):
                admission.note(rule, counter, amount)
                if counter.available <= counter.low:
                    self._leases.ask_ahead(counter, now)
            else:
                await self._obtain(admission, endpoint, alternatives, amount)
        return admission

    async def _obtain(
        self,
        admission: LimitedAdmission,
        endpoint: Endpoint,
        alternatives: _Alternatives,
        amount: int,
    ) -> None:
        """Take `amount` of the first alternative that has it, if need be after asking for it."""
        admitted = False
        try:
            for rule, counter in alternatives:
                verdict = await self._leases.obtain(counter, amount)
                if verdict is Verdict.TAKEN:
                    admission.note(rule, counter, amount)
                admitted = verdict is not Verdict.EXHAUSTED
                if admitted:
                    return
        finally:
            if not admitted:
                admission.revoke()
        rule = alternatives[-1][0]
        self._metrics.refusals.labels(rule.unit.value, rule.scope.value).inc()
        raise self._refusal(admission, endpoint, alternatives)

    def _refusal(
        self, admission: LimitedAdmission, endpoint: Endpoint, alternatives: _Alternatives
    ) -> LimitExceeded:
        now = self._clock()
        rule, counter = max(alternatives, key=lambda item: item[0].limit)
        seconds = min(self._contact.seconds_left(counter, now) for _, counter in alternatives)
        advice = f"try again in {seconds} seconds"
        if rule.unit is Unit.TOKENS and admission.prompt > rule.limit > 0:
            advice = (
                f"a prompt of about {admission.prompt} tokens never fits into {rule.limit} tokens "
                "a minute; shorten it"
            )
        headers = rate_limit_headers(
            [*admission.counters, (rule, counter)], now, self._contact.seconds_left
        )
        return LimitExceeded(
            f"User defined rate limit(s) exceeded for '{endpoint.name}'. {_UNIT_TEXTS[rule.unit]} "
            f"rate limit exceeded for {rule.scope.value}: {advice}.",
            seconds,
            headers,
        )

    def _plan(self, endpoint: Endpoint, principal: Principal, limits: Limits) -> _Plan:
        self._forget()
        key = (endpoint.id, principal.id)
        plan = self._aging.pop(key, None)
        if plan is None or plan.limits is not limits or plan.principal is not principal:
            requirements = tuple(
                tuple((rule, self._leases.counter(rule)) for rule in rules)
                for rules in limits.rules(principal)
            )
            tokens = [
                rule.limit
                for alternatives in requirements
                for rule, _ in alternatives
                if rule.unit is Unit.TOKENS
            ]
            plan = _Plan(limits, principal, requirements, min(tokens, default=None))
        self._plans[key] = plan
        return plan

    def _forget(self) -> None:
        """Forget who has not called for one to two minutes; all at once would take long."""
        for _ in range(_PLANS_FORGOTTEN_AT_ONCE):
            if not self._forgotten:
                break
            self._forgotten.popitem()
        now = self._clock()
        # While the control plane is away, quota depends on what was used before.
        if now - self._aged_at >= WINDOW_SECONDS and not self._contact.is_lost:
            self._aged_at = now
            self._forgotten, self._aging, self._plans = self._aging, self._plans, {}
