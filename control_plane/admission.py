"""How many calls of the public API are under way: beyond a bound they are refused at once.

A call that waits costs memory and a place at the database, so a rush is told to come back rather
than kept waiting until everybody has gone. Before: `interceptor`.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge

from modelplane.control_plane.errors import Overloaded, TooManyCalls
from modelplane.control_plane.principal import Principal

# Of all callers, those not known included.
MAX_CALLS = 1_000
# Of whoever is no administrator.
MAX_CALLS_OF_ONE = 100


class Admission:
    """Counts the calls under way."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare the metric.

        Args:
            registry: Where it goes.
        """
        self._all = 0
        self._own: Counter[str] = Counter()
        Gauge(
            "modelplane_control_plane_calls",
            "Calls of the public API under way.",
            registry=registry,
        ).set_function(lambda: self._all)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a call, whoever makes it.

        Raises:
            Overloaded: There are as many as may be.
        """
        if self._all >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls are under way already; please retry.")
        self._all += 1
        try:
            yield
        finally:
            self._all -= 1

    @contextmanager
    def of(self, principal: Principal) -> Iterator[None]:
        """Count a call of a caller who is known.

        Raises:
            TooManyCalls: This caller has as many under way as one may.
        """
        if self._own[principal.id] >= MAX_CALLS_OF_ONE and not principal.admin:
            raise TooManyCalls(
                f"{MAX_CALLS_OF_ONE} of your calls are under way already; please retry."
            )
        self._own[principal.id] += 1
        try:
            yield
        finally:
            self._own[principal.id] -= 1
            if not self._own[principal.id]:
                del self._own[principal.id]
