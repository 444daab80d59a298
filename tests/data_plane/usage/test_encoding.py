"""What is encoded piece by piece is what the messages say."""

from hypothesis import given
from hypothesis import strategies as st
from modelserving.worker.v1.usage_service_pb2 import UsageAttempt, UsageEntry, UsageOutcome

from modelplane.data_plane.calls.labels import Labels
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.usage.encoding import (
    Tokens,
    encode_intent,
    encode_origin,
    encode_outcome,
)

KEY = bytes(range(16))
COUNTS = st.none() | st.integers(0, 1 << 40)
TEXTS = st.text(max_size=200)
SECONDS = st.floats(0, 1e6)


@given(
    request_id=TEXTS,
    time_ms=st.integers(0, 1 << 50),
    characters=st.integers(0, 1 << 40),
    stream=st.booleans(),
    labels=st.none() | st.builds(Labels, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3)),
)
def test_an_intent_is_an_entry(
    request_id: str, time_ms: int, characters: int, *, stream: bool, labels: Labels | None
) -> None:
    record = Record(request_id, 0.0, stream=stream, input_characters=characters)
    if labels:
        record.labels = labels
    origin = encode_origin(
        ("e-1", "chät", 7, "llm/v1/chat"), ("p-1", "someone"), "gpt", "codex/1.0"
    )
    assert UsageEntry.FromString(encode_intent(KEY, record, origin, time_ms)) == UsageEntry(
        key=KEY,
        request_id=request_id,
        client_request_id=record.labels.client_request_id,
        usage_context=record.labels.usage_context,
        time_ms=time_ms,
        endpoint_id="e-1",
        endpoint_name="chät",
        config_version=7,
        task="llm/v1/chat",
        requester_id="p-1",
        requester="someone",
        streaming=stream,
        input_characters=characters,
        served_entity_name="gpt",
        client="codex",
    )


@given(
    status=st.integers(0, 599),
    error=TEXTS,
    tokens=st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans()),
    characters=st.integers(0, 1 << 40),
    first_chunk=st.none() | SECONDS,
    attempts=st.lists(st.builds(Attempt, TEXTS, TEXTS, SECONDS), max_size=3),
)
def test_an_outcome_completes_an_entry(
    status: int,
    error: str,
    tokens: Tokens,
    characters: int,
    first_chunk: float | None,
    attempts: list[Attempt],
) -> None:
    record = Record("r", 0.0, status=status, error=error, output_characters=characters)
    if first_chunk is not None:
        record.chunks, record.first_chunk = 1, first_chunk
    expected = UsageOutcome(
        status_code=status,
        error=error,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cached_tokens=tokens.cached,
        reasoning_tokens=tokens.reasoning,
        estimated=tokens.estimated,
        output_characters=characters,
        latency_ms=2.5 * 1000.0,
        first_chunk_ms=None if first_chunk is None else first_chunk * 1000.0,
        attempts=[
            UsageAttempt(
                served_entity_name=one.entity, error=one.error, latency_ms=one.seconds * 1e3
            )
            for one in attempts
        ],
    )
    begun = UsageEntry(key=KEY).SerializeToString()
    entry = UsageEntry.FromString(begun + encode_outcome(record, tokens, 2.5, attempts))
    assert entry == UsageEntry(key=KEY, outcome=expected)
