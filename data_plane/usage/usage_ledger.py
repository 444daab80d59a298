"""What the journal says of a query: an intent before the provider is called, an outcome after.

The ledger of `accounting.py` for endpoints that track usage; others cost nothing. After:
`journal.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

from modelserving.snapshot.v1.usage_service_pb2 import UsageAttempt, UsageEntry, UsageOutcome

from adapters.providers.types import Query, Task, Usage
from data_plane.accounting import OK, Record
from data_plane.hosts.host import encode_field
from data_plane.usage.characters import estimate_tokens, prompt_characters
from data_plane.usage.journal import Journal
from data_plane.usage.journal_segment import OUTCOME_BYTES
from data_plane.usage.usage_labels import NO_LABELS

# A provider's count beyond this is none.
_MAX_COUNT = 1 << 40
_MS = 1000.0
_GENERATING = frozenset({Task.CHAT, Task.COMPLETIONS})
_NO_USAGE = Usage()
_OUTCOME_FIELD = UsageEntry.OUTCOME_FIELD_NUMBER


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
        )
        if record.labels is not NO_LABELS:
            entry.client_request_id = record.labels.client_request_id
            entry.usage_context.update(record.labels.usage_context)
        record.ticket = self._journal.begin(key, entry.SerializeToString())

    def end(self, record: Record) -> None:
        """Write down how the call ended."""
        if record.ticket is None:
            return
        tokens = _tokens(record)
        outcome = UsageOutcome(
            status_code=record.status,
            error=record.error,
            served_entity_name=record.entity.name if record.entity else "",
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_tokens=tokens.cached,
            reasoning_tokens=tokens.reasoning,
            estimated=tokens.estimated,
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
        payload = encode_field(_OUTCOME_FIELD, outcome.SerializeToString())
        if len(payload) > OUTCOME_BYTES:
            # The last attempt is the one that decided.
            del outcome.attempts[:-1]
            payload = encode_field(_OUTCOME_FIELD, outcome.SerializeToString())
        self._journal.end(record.ticket, payload)


class _Tokens(NamedTuple):
    input: int | None
    output: int | None
    cached: int | None
    reasoning: int | None
    estimated: bool


def _tokens(record: Record) -> _Tokens:
    usage = record.usage or _NO_USAGE
    given, made = _count(usage.input_tokens), _count(usage.output_tokens)
    cached, reasoning = _count(usage.cached_tokens), _count(usage.reasoning_tokens)
    estimated = False
    if record.status == OK or record.chunks:
        if given is None and record.input_characters:
            given, estimated = estimate_tokens(record.input_characters), True
        if made is None and record.config and record.config.task in _GENERATING:
            made, estimated = estimate_tokens(record.output_characters), True
    return _Tokens(given, made, cached, reasoning, estimated)


def _count(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= _MAX_COUNT else None
