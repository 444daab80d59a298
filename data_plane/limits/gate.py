"""Admits queries within the limits of their endpoint, from memory wherever there is quota.

The gate of `admission.py` for `invocation.py`. `snapshots/limits.py` says which limits a query
falls under, `quota_leases.py` has the quota, `admitted.py` is what was admitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelplane.adapters.providers.types import Query
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.errors import LimitExceeded
from modelplane.data_plane.limits.admission import Admission, Unlimited
from modelplane.data_plane.limits.admitted import LimitedAdmission, rate_limit_headers
from modelplane.data_plane.limits.quota import WINDOW_SECONDS, Counter
from modelplane.data_plane.limits.quota_contact import Contact
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.limits.reservation import Estimate
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.limits import Limits, Rule, Unit
from modelplane.data_plane.snapshots.snapshot import Endpoint

_UNLIMITED = Unlimited()
_PLANS_FORGOTTEN_AT_ONCE = 4
# Of callers and endpoints: a worker remembers up to three times as many, each with its counters.
# Principals and endpoints are few in number by themselves, so that this bounds their product.
_MOST_PLANS = 50_000
# Endpoints of which it is remembered what their queries use.
_ESTIMATES = 10_000
# So long a query waits for tokens that others have reserved and may not use.
_PATIENCE_SECONDS = 2
_UNIT_TEXTS = {
    Unit.REQUESTS: "Requests-per-minute (RPM)",
    Unit.TOKENS: "Tokens-per-minute (TPM)",
}
_PlanKey = tuple[str, str]
_Alternatives = tuple[tuple[Rule, Counter], ...]


@dataclass(frozen=True, slots=True)
class _Tokens:
    """How tokens are limited: the smallest limit on them, and what a query uses of them."""

    limit: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the queries of one caller to one endpoint must satisfy.

    Attributes:
        limits: Limits that it was made from.
        principal: Caller that it was made for.
        requirements: Alternatives, of each of which one must have room.
        tokens: How tokens are limited; None: they are not.
    """

    limits: Limits
    principal: Principal
    requirements: tuple[_Alternatives, ...]
    tokens: _Tokens | None


class LimitGate:
    """Admits queries that their endpoint's limits allow."""

    def __init__(
        self,
        leases: QuotaLeases,
        contact: Contact,
        metrics: QuotaMetrics,
        clock: Callable[[], float],
        most_plans: int = _MOST_PLANS,
        refused: Callable[[str, Rule], None] | None = None,
    ) -> None:
        """Take quota from `leases`.

        Args:
            leases: Has the quota.
            contact: Knows the windows.
            metrics: Counts refusals.
            clock: Monotonic time, seconds.
            most_plans: Callers of endpoints after whom those before them are forgotten early.
            refused: Told of each refusal: the endpoint's identifier, and the limit.
        """
        self._most_plans = most_plans
        self._refused = refused
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
        self._estimates: dict[str, Estimate] = {}

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
        tokens = plan.tokens
        if tokens is not None:
            admission.reserve(query, spec, tokens.limit, tokens.estimate)
        for alternatives in plan.requirements:
            rule, counter = alternatives[0]
            amount = admission.amount_of(rule)
            if counter.take(amount, now):
                admission.note(rule, counter, amount)
                if counter.available <= counter.low:
                    self._leases.ask_ahead(counter, now)
            else:
                await self._obtain(admission, endpoint, alternatives)
        return admission

    async def _obtain(
        self, admission: LimitedAdmission, endpoint: Endpoint, alternatives: _Alternatives
    ) -> None:
        """Take what is needed of one alternative, asking and waiting for it if need be."""
        patience_ends = self._clock() + _PATIENCE_SECONDS
        admitted = False
        try:
            while not (admitted := await self._take_one(admission, alternatives)):
                hopeful = self._hopeful(admission, alternatives)
                if not hopeful or self._clock() >= patience_ends:
                    break
                await self._wait(hopeful)
                admission.resize()
        finally:
            if not admitted:
                admission.revoke()
        if not admitted:
            rule = alternatives[-1][0]
            self._metrics.refusals.labels(rule.unit.value, rule.scope.value).inc()
            if self._refused is not None:
                self._refused(endpoint.id, rule)
            raise self._refusal(admission, endpoint, alternatives)

    async def _take_one(self, admission: LimitedAdmission, alternatives: _Alternatives) -> bool:
        for rule, counter in alternatives:
            taken = await self._leases.obtain(counter, admission.amount_of(rule))
            if taken:
                admission.note(rule, counter, taken)
            if taken != 0:
                return True
        return False

    def _hopeful(
        self, admission: LimitedAdmission, alternatives: _Alternatives, spare: float = 1.0
    ) -> list[Counter]:
        """Return the counters to which queries that go on may give back enough."""
        now, least = self._clock(), admission.least
        return [counter for _, counter in alternatives if counter.may_get_back(least, now, spare)]

    async def _wait(self, counters: Sequence[Counter]) -> None:
        for counter in counters:
            counter.patient += 1
        try:
            await self._leases.pause()
        finally:
            for counter in counters:
                counter.patient -= 1

    def _refusal(
        self, admission: LimitedAdmission, endpoint: Endpoint, alternatives: _Alternatives
    ) -> LimitExceeded:
        now = self._clock()
        rule, counter = max(alternatives, key=lambda item: item[0].limit)
        seconds = min(
            self._seconds_left(counter, admission.amount_of(rule), now)
            for rule, counter in alternatives
        )
        if self._hopeful(admission, alternatives, admission.spare):
            seconds = min(seconds, _PATIENCE_SECONDS)
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

    def _seconds_left(self, counter: Counter, amount: int, now: float) -> int:
        """Return the seconds until a counter has room: windows may be owed to those before."""
        windows = counter.windows_owed(amount)
        return self._contact.seconds_left(counter, now) + windows * int(WINDOW_SECONDS)

    def _plan(self, endpoint: Endpoint, principal: Principal, limits: Limits) -> _Plan:
        self._forget()
        key = (endpoint.id, principal.id)
        plan = self._aging.pop(key, None) or self._plans.get(key)
        if plan is None or plan.limits is not limits or plan.principal is not principal:
            plan = self._compile(endpoint, principal, limits, plan)
        self._plans[key] = plan
        return plan

    def _compile(
        self, endpoint: Endpoint, principal: Principal, limits: Limits, before: _Plan | None
    ) -> _Plan:
        requirements = tuple(
            tuple((rule, self._leases.counter(rule)) for rule in rules)
            for rules in limits.rules(principal)
        )
        bounds = [
            rule.limit
            for alternatives in requirements
            for rule, _ in alternatives
            if rule.unit is Unit.TOKENS
        ]
        if not bounds:
            return _Plan(limits, principal, requirements, None)
        if before is not None and before.tokens is not None:
            estimate = before.tokens.estimate
        else:
            estimate = Estimate(self._estimate(endpoint))
        return _Plan(limits, principal, requirements, _Tokens(min(bounds), estimate))

    def _estimate(self, endpoint: Endpoint) -> Estimate:
        """Return what queries to an endpoint use, whoever calls."""
        estimate = self._estimates.get(endpoint.id)
        if estimate is None:
            if len(self._estimates) >= _ESTIMATES:
                del self._estimates[next(iter(self._estimates))]
            estimate = self._estimates[endpoint.id] = Estimate()
        return estimate

    def _forget(self) -> None:
        """Forget who has not called for one to two minutes; all at once would take long."""
        for _ in range(_PLANS_FORGOTTEN_AT_ONCE):
            if not self._forgotten:
                break
            self._forgotten.popitem()
        now = self._clock()
        # While the control plane is away, quota depends on what was used before.
        is_old = now - self._aged_at >= WINDOW_SECONDS and not self._contact.is_lost
        if is_old or len(self._plans) >= self._most_plans:
            self._aged_at = now
            self._forgotten, self._aging, self._plans = self._aging, self._plans, {}
