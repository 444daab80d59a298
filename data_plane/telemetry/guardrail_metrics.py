"""Metrics of guardrails: what was done, what was found, and how long it took to look."""

from prometheus_client import CollectorRegistry, Counter

from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.verdict import action_of


class GuardrailMetrics:
    """Metrics of guardrails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self._actions = Counter(
            "modelplane_guardrail_checks",
            "Requests and answers that were looked through, by what was done.",
            ("phase", "action"),
            registry=registry,
        )
        self._entities = Counter(
            "modelplane_guardrail_entities",
            "What was found in requests and answers.",
            ("phase", "entity"),
            registry=registry,
        )
        self._logged = Counter(
            "modelplane_guardrail_logged",
            "Requests and answers about which policies that only log would have done something.",
            ("phase", "policy", "action"),
            registry=registry,
        )
        self._judge_seconds = Counter(
            "modelplane_guardrail_judge_seconds",
            "Time that calls have waited for the verdicts of judges.",
            ("phase",),
            registry=registry,
        )
        self._unjudged = Counter(
            "modelplane_guardrail_unjudged",
            "Requests and answers about which a judge that only logs was not asked.",
            ("phase",),
            registry=registry,
        )
        self._seconds = Counter(
            "modelplane_guardrail_seconds",
            "Time that it took to look through requests and answers.",
            ("phase",),
            registry=registry,
        )

    def observe(self, guard: Guard) -> None:
        """Count what was done in a call."""
        for phase, findings in guard.found.items():
            for policy, action in findings.logged.items():
                self._logged.labels(phase, policy, action).inc()
            if findings.unjudged:
                self._unjudged.labels(phase).inc(findings.unjudged)
            if findings.asked_seconds:
                self._judge_seconds.labels(phase).inc(findings.asked_seconds)
            elif not (findings.seconds or findings.beside):
                continue
            self._actions.labels(phase, action_of(findings)).inc()
            self._seconds.labels(phase).inc(findings.seconds)
            for entity, count in (findings.entities + findings.logged_entities).items():
                self._entities.labels(phase, entity).inc(count)
