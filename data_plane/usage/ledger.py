"""What the journal says of a query: an intent before the provider is called, an outcome after.

The ledger of `accounting.py` for endpoints that track usage; others cost nothing. After:
`encoding.py`, `journal.py`. Both are written at once: however the process dies, no query is
lost, and what was answered is known to have been.
"""

from collections.abc import Callable

from modelplane.adapters.providers.types import Query, Usage, tokens_of
from modelplane.data_plane.calls.characters import prompt_characters
from modelplane.data_plane.calls.clients import SAID_CHARACTERS
from modelplane.data_plane.calls.record import OK, Record
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.usage.encoding import (
    Tokens,
    encode_intent,
    encode_origin,
    encode_outcome,
)
from modelplane.data_plane.usage.journal import Journal, Ticket
from modelplane.data_plane.usage.journal_segment import OUTCOME_BYTES

_MS = 1000.0
_NO_USAGE = Usage()


class UsageLedger:
    """Writes to a journal."""

    def __init__(
        self,
        journal: Journal,
        clock: Callable[[], float],
        wall_ms: Callable[[], float],
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
        record.input_characters = prompt_characters(query.body, spec_of(config.task).prompt)
        key = self._journal.new_key()
        origin = encode_origin(
            (endpoint.id, endpoint.name, config.version, config.task),
            (principal.id, principal.name),
            record.entity.name if record.entity else "",
            record.user_agent[:SAID_CHARACTERS],
        )
        time_ms = int(self._wall_ms() - (self._clock() - record.started) * _MS)
        record.ticket = self._journal.begin(key, encode_intent(key, record, origin, time_ms))

    def end(self, record: Record) -> None:
        """Write down how the call ended."""
        if isinstance(record.ticket, Ticket):
            self._journal.end(record.ticket, _outcome(record, record.ended or self._clock()))


def _outcome(record: Record, now: float) -> bytes:
    tokens = _tokens(record)
    outcome = encode_outcome(record, tokens, now, record.attempts)
    if len(outcome) > OUTCOME_BYTES:
        # The last attempt is the one that decided.
        return encode_outcome(record, tokens, now, record.attempts[-1:])
    return outcome


def _tokens(record: Record) -> Tokens:
    usage = record.usage or _NO_USAGE
    given, made = usage.input_tokens, usage.output_tokens
    estimated = False
    if record.status == OK or record.chunks:
        if given is None and record.input_characters:
            given, estimated = tokens_of(record.input_characters), True
        if made is None and record.config and spec_of(record.config.task).generates:
            made, estimated = tokens_of(record.output_characters), True
    return Tokens(given, made, usage.cached_tokens, usage.reasoning_tokens, estimated)
