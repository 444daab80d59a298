"""Encodes what the journal keeps of a query, piece by piece, as `UsageEntry` messages: pure.

Used by `ledger.py`. Messages made field by field cost several times as much, and every query
has two. What repeats from query to query is encoded once.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from modelserving.worker.v1.usage_service_pb2 import (
    UsageAttempt,
    UsageEntry,
    UsageGuardrail,
    UsageOutcome,
)

from modelplane.adapters.shared.rpc.varint import MORE, SEVEN_BITS, encode_varint
from modelplane.data_plane.calls.clients import client_of
from modelplane.data_plane.calls.labels import NO_LABELS
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.guardrails.verdict import Verdict

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_MS = 1000.0
_US = 1e6
_REMEMBERED = 10_000


def _tag(number: int, kind: int) -> bytes:
    # Numbers up to 15 take one byte, as all here do.
    return bytes((number << 3 | kind,))


_ENTRY_KEY = _tag(UsageEntry.KEY_FIELD_NUMBER, _BYTES) + b"\x10"
_ENTRY_REQUEST_ID = _tag(UsageEntry.REQUEST_ID_FIELD_NUMBER, _BYTES)
_ENTRY_TIME = _tag(UsageEntry.TIME_MS_FIELD_NUMBER, _VARINT)
_ENTRY_STREAMING = _tag(UsageEntry.STREAMING_FIELD_NUMBER, _VARINT) + b"\x01"
_ENTRY_CHARACTERS = _tag(UsageEntry.INPUT_CHARACTERS_FIELD_NUMBER, _VARINT)
_ENTRY_OUTCOME = _tag(UsageEntry.OUTCOME_FIELD_NUMBER, _BYTES)
# In the order of the counts of `Tokens`.
_TOKENS = tuple(
    _tag(number, _VARINT)
    for number in (
        UsageOutcome.INPUT_TOKENS_FIELD_NUMBER,
        UsageOutcome.OUTPUT_TOKENS_FIELD_NUMBER,
        UsageOutcome.CACHED_TOKENS_FIELD_NUMBER,
        UsageOutcome.REASONING_TOKENS_FIELD_NUMBER,
    )
)
_ESTIMATED = _tag(UsageOutcome.ESTIMATED_FIELD_NUMBER, _VARINT) + b"\x01"
_CHARACTERS = _tag(UsageOutcome.OUTPUT_CHARACTERS_FIELD_NUMBER, _VARINT)
_LATENCY = _tag(UsageOutcome.LATENCY_MS_FIELD_NUMBER, _FIXED64)
_FIRST_CHUNK = _tag(UsageOutcome.FIRST_CHUNK_MS_FIELD_NUMBER, _FIXED64)
_ATTEMPTS = _tag(UsageOutcome.ATTEMPTS_FIELD_NUMBER, _BYTES)
_GUARDRAIL = _tag(UsageOutcome.GUARDRAIL_FIELD_NUMBER, _BYTES)
_ATTEMPT_LATENCY = _tag(UsageAttempt.LATENCY_MS_FIELD_NUMBER, _FIXED64)
_DOUBLE = Struct("<d")


class Tokens(NamedTuple):
    """What a query used; None where it is not known.

    Attributes:
        input: Tokens of the prompt.
        output: Tokens of the answer.
        cached: Tokens of the prompt that the provider had cached.
        reasoning: Tokens of the answer that are reasoning.
        estimated: Whether a count is an estimate.
    """

    input: int | None
    output: int | None
    cached: int | None
    reasoning: int | None
    estimated: bool


@lru_cache(maxsize=_REMEMBERED)
def encode_origin(
    endpoint: tuple[str, str, int, str], requester: tuple[str, str], entity: str, user_agent: str
) -> bytes:
    """Return what many intents have in common.

    Args:
        endpoint: Identifier, name, version of the configuration, and task.
        requester: Identifier and name.
        entity: Name of the served entity asked first.
        user_agent: What the program that asks says of itself, of which its kind is noted.
    """
    endpoint_id, endpoint_name, version, task = endpoint
    return UsageEntry(
        endpoint_id=endpoint_id,
        endpoint_name=endpoint_name,
        config_version=version,
        task=task,
        requester_id=requester[0],
        requester=requester[1],
        served_entity_name=entity,
        client=client_of(user_agent),
    ).SerializeToString()


def encode_intent(key: bytes, record: Record, origin: bytes, time_ms: int) -> bytes:
    """Return what is known of a query before its provider is called.

    Args:
        key: Identifier of 16 bytes.
        record: The query's.
        origin: What `encode_origin` has made.
        time_ms: Its start, milliseconds since the epoch.
    """
    request_id = record.request_id.encode()
    intent = (
        _ENTRY_KEY
        + key
        + _ENTRY_REQUEST_ID
        + encode_varint(len(request_id))
        + request_id
        + _ENTRY_TIME
        + _encode_time(time_ms)
        + origin
        + _ENTRY_CHARACTERS
        + encode_varint(record.input_characters)
    )
    if record.stream:
        intent += _ENTRY_STREAMING
    if record.labels is not NO_LABELS:
        intent += UsageEntry(
            client_request_id=record.labels.client_request_id,
            usage_context=record.labels.usage_context,
        ).SerializeToString()
    return intent


def encode_outcome(
    record: Record, tokens: Tokens, now: float, attempts: Sequence[Attempt]
) -> bytes:
    """Return how a query ended, to follow its intent.

    Args:
        record: The query's.
        tokens: What it used.
        now: Its end, seconds of the record's clock.
        attempts: The attempts to be told of.
    """
    entity = record.entity.name if record.entity else ""
    body = _encode_ending(record.status, record.error, entity)
    for tag, count in zip(_TOKENS, tokens, strict=False):
        if count is not None:
            body += tag + encode_varint(count)
    if tokens.estimated:
        body += _ESTIMATED
    if record.output_characters:
        body += _CHARACTERS + encode_varint(record.output_characters)
    body += _LATENCY + _DOUBLE.pack((now - record.started) * _MS)
    if record.chunks:
        body += _FIRST_CHUNK + _DOUBLE.pack((record.first_chunk - record.started) * _MS)
    if record.guard is not None:
        verdict = _encode_verdict(record.guard.verdict())
        body += _GUARDRAIL + encode_varint(len(verdict)) + verdict
    for attempt in attempts:
        body += _encode_attempt(attempt.entity, attempt.error)
        body += _DOUBLE.pack(attempt.seconds * _MS)
    return _ENTRY_OUTCOME + encode_varint(len(body)) + body


def _encode_verdict(verdict: Verdict) -> bytes:
    guardrail = UsageGuardrail(
        action=verdict.action,
        policy=verdict.policy,
        phase=verdict.phase,
        entities=verdict.entities,
        check_us=round(verdict.seconds * _US),
        unread_parts=verdict.unread_parts,
        logged=verdict.logged,
    )
    return guardrail.SerializeToString()


@lru_cache(maxsize=_REMEMBERED)
def _encode_ending(status: int, error: str, entity: str) -> bytes:
    outcome = UsageOutcome(status_code=status, error=error, served_entity_name=entity)
    return outcome.SerializeToString()


@lru_cache(maxsize=_REMEMBERED)
def _encode_attempt(entity: str, error: str) -> bytes:
    """Return an attempt up to its latency, which comes last."""
    attempt = UsageAttempt(served_entity_name=entity, error=error).SerializeToString()
    body = attempt + _ATTEMPT_LATENCY
    return _ATTEMPTS + encode_varint(len(body) + _DOUBLE.size) + body


def _encode_time(time_ms: int) -> bytes:
    low = time_ms & SEVEN_BITS | MORE, time_ms >> 7 & SEVEN_BITS | MORE
    return bytes(low) + _encode_high(time_ms >> 14)


@lru_cache(maxsize=8)
def _encode_high(value: int) -> bytes:
    """Return the part of a time's number that changes only each quarter of a minute."""
    return encode_varint(value)
