"""What the journal says of a query: an intent before the provider is called, an outcome after.

The ledger of `accounting.py` for endpoints that track usage; others cost nothing. After:
`journal.py`.
"""

from collections.abc import Callable

from modelserving.snapshot.v1.usage_service_pb2 import UsageAttempt, UsageEntry, UsageOutcome

from adapters.providers.types import Query, Task
from data_plane.accounting import OK, Record
from data_plane.characters import estimate_tokens, prompt_characters
from data_plane.journal import Journal
from data_plane.journal_segment import OUTCOME_BYTES

# A provider's count beyond this is none.
_MAX_COUNT = 1 << 40
_MS = 1000.0


class UsageLedger:
    """Writes to a journal."""

    def __init__(
        self, journal: Journal, clock: Callable[[], float], wall_ms: Callable[[], float]
    ) -> None:
        """Write to `journal`.

        Args:
            journal: Takes intents and outcomes.
            clock: Monotonic time, seconds.
            wall_ms: Wall time, milliseconds since the epoch.
        """
        self._journal = journal
        self._clock = clock
        self._wall_ms = wall_ms

    def begin(self, record: Record, query: Query) -> None:
        """Write down that a provider is about to be called."""
        endpoint, config, principal = record.endpoint, record.config, record.principal
        if endpoint is None or config is None or principal is None or not endpoint.tracks_usage:
            return
        record.input_characters = prompt_characters(query.body)
        key = self._journal.new_key()
        entry = UsageEntry(
            key=key,
            request_id=record.request_id,
            time_ms=int(self._wall_ms() - (self._clock() - record.started) * _MS),
            endpoint_id=endpoint.id,
            endpoint_name=endpoint.name,
            config_version=config.version,
            task=config.task,
            requester_id=principal.id,
            requester=principal.name,
            streaming=record.stream,
            input_characters=record.input_characters,
            served_entity_name=record.entity.name if record.entity else "",
            client_request_id=record.labels.client_request_id,
            usage_context=record.labels.usage_context,
        )
        record.ticket = self._journal.begin(key, entry.SerializeToString())

    def end(self, record: Record) -> None:
        """Write down how the call ended."""
        if record.ticket is None:
            return
        outcome = UsageOutcome(
            status_code=record.status,
            error=record.error,
            served_entity_name=record.entity.name if record.entity else "",
            output_characters=record.output_characters,
            latency_ms=(self._clock() - record.started) * _MS,
            first_chunk_ms=(record.first_chunk - record.started) * _MS if record.chunks else None,
            attempts=[
                UsageAttempt(
                    served_entity_name=attempt.entity,
                    error=attempt.error,
                    latency_ms=attempt.seconds * _MS,
                )
                for attempt in record.attempts
            ],
        )
        _put_tokens(outcome, record)
        payload = UsageEntry(outcome=outcome).SerializeToString()
        if len(payload) > OUTCOME_BYTES:
            # The last attempt is the one that decided.
            del outcome.attempts[:-1]
            payload = UsageEntry(outcome=outcome).SerializeToString()
        self._journal.end(record.ticket, payload)


def _put_tokens(outcome: UsageOutcome, record: Record) -> None:
    usage = record.usage
    if usage:
        _put(outcome, "input_tokens", usage.input_tokens)
        _put(outcome, "output_tokens", usage.output_tokens)
        _put(outcome, "cached_tokens", usage.cached_tokens)
        _put(outcome, "reasoning_tokens", usage.reasoning_tokens)
    if record.status != OK and not record.chunks:
        return
    generates = record.config is not None and record.config.task in (Task.CHAT, Task.COMPLETIONS)
    if record.input_characters and not outcome.HasField("input_tokens"):
        outcome.input_tokens = estimate_tokens(record.input_characters)
        outcome.estimated = True
    if generates and not outcome.HasField("output_tokens"):
        outcome.output_tokens = estimate_tokens(record.output_characters)
        outcome.estimated = True


def _put(outcome: UsageOutcome, name: str, count: int | None) -> None:
    if count is not None and 0 <= count <= _MAX_COUNT:
        setattr(outcome, name, count)
