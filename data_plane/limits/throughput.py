"""Holds served entities to the tokens per second that are provisioned of them, over all workers.

Asked by `../upstreams/hosted_relay.py` for each query. A query takes what it likely needs from the
entity's bucket (`bucket.py`) before it is put to a replica, and settles on what it used: what it
used beyond is owed, and what flows in next pays it. So all together never send more than flows in
and the bucket held.
"""

from collections.abc import Callable

from modelplane.adapters.providers.types import Query, Usage, tokens_of
from modelplane.data_plane.calls.tasks import TaskSpec, spec_of
from modelplane.data_plane.errors import ThroughputExceeded
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.limits.bucket import PATIENCE_SECONDS, Bucket
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.limits.reservation import (
    DEFAULT_OUTPUT_TOKENS,
    UNSEEN_AT_ONCE,
    Estimate,
    estimate_prompt,
    output_bound,
)
from modelplane.data_plane.snapshots.snapshot import ServedEntity, Throughput

# Entities whose buckets a worker keeps; more are found anew in the control plane.
_MOST_BUCKETS = 1_000
_UNIT, _SCOPE = "tokens", "served_entity"


class ThroughputGate:
    """Admits queries within the throughput of their served entities."""

    def __init__(
        self, leases: QuotaLeases, metrics: QuotaMetrics, clock: Callable[[], float]
    ) -> None:
        """Take from buckets.

        Args:
            leases: Has the buckets.
            metrics: Counts refusals.
            clock: Monotonic time, seconds.
        """
        self._leases = leases
        self._metrics = metrics
        self._clock = clock
        self._kept: dict[bytes, tuple[Bucket, Estimate]] = {}

    async def admit(self, throughput: Throughput, entity: ServedEntity, query: Query) -> "Part":
        """Admit a query to an entity, as soon as that fits.

        Args:
            throughput: What the entity may be sent.
            entity: The entity.
            query: The query.

        Raises:
            ThroughputExceeded: It does not fit soon.
        """
        bucket, estimate = self._keep(throughput)
        part = Part(self._leases, bucket, estimate, query, spec_of(entity.task))
        patience_ends = self._clock() + PATIENCE_SECONDS
        while True:
            taken = await self._leases.obtain(bucket, part.wanted)
            if taken is None or taken:
                part.taken = taken
                return part
            if self._clock() >= patience_ends or not bucket.may_get_back(part.wanted, 0.0):
                self._metrics.refusals.labels(_UNIT, _SCOPE).inc()
                seconds = bucket.seconds_until(part.wanted)
                raise ThroughputExceeded(entity.name, throughput.tokens, seconds)
            await self._wait(bucket)

    async def _wait(self, bucket: Bucket) -> None:
        bucket.patient += 1
        try:
            await self._leases.pause()
        finally:
            bucket.patient -= 1

    def _keep(self, throughput: Throughput) -> tuple[Bucket, Estimate]:
        key, rate = throughput.key, throughput.tokens
        kept = self._kept.get(key)
        if kept is not None and kept[0].rate == rate:
            return kept
        if kept is None and len(self._kept) >= _MOST_BUCKETS:
            del self._kept[next(iter(self._kept))]
        estimate = kept[1] if kept else Estimate()
        self._kept[key] = kept = self._leases.bucket(key, rate), estimate
        return kept


class Part:
    """What one query takes of a bucket.

    Attributes:
        prompt: Tokens that its prompt is estimated to have.
        wanted: What it likely needs, but no more than the bucket holds.
        taken: What was taken; None: nothing is counted.
    """

    __slots__ = ("_bucket", "_estimate", "_leases", "_most", "prompt", "taken", "wanted")

    def __init__(
        self, leases: QuotaLeases, bucket: Bucket, estimate: Estimate, query: Query, spec: TaskSpec
    ) -> None:
        """Take nothing yet.

        Args:
            leases: Takes back what was not used.
            bucket: The bucket.
            estimate: What such queries use, which learns what this one does.
            query: What it is for.
            spec: What there is to know of its task.
        """
        self._leases = leases
        self._bucket = bucket
        self._estimate = estimate
        self.taken: int | None = 0
        # One that another entity was asked before has only its bytes left.
        self.prompt = estimate_prompt(query, spec.prompt) or tokens_of(len(query.raw))
        bound = output_bound(query.body)
        self._most = (DEFAULT_OUTPUT_TOKENS if bound is None else bound) if spec.generates else 0
        likely = self._most
        if known := estimate.known():
            likely = min(likely, known.likely)
        elif bound is None:
            likely = min(likely, bucket.limit // UNSEEN_AT_ONCE)
        self.wanted = max(1, min(self.prompt + likely, bucket.limit))

    def settle(self, usage: Usage | None, ending: Ending) -> int:
        """Give back what was not used, note what was used beyond, and return what was used."""
        used = self._used(usage, ending)
        if ending is Ending.ANSWERED:
            self._estimate.learn(used - self.prompt)
        if self.taken is not None:
            self._leases.settle(self._bucket, self.taken, used, self._bucket.window)
            if self._bucket.debt:
                # Before other workers let more in.
                self._leases.ask(self._bucket)
        return used

    def _used(self, usage: Usage | None, ending: Ending) -> int:
        if usage is None:
            # Of what the caller has left, the model may have read and written any part.
            return 0 if ending is Ending.FAILED else self.wanted
        read = self.prompt if usage.input_tokens is None else usage.input_tokens
        return read + (usage.output_tokens or 0)
