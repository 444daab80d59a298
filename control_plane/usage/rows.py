"""Makes rows of the ledger of what workers report: pure.

Used by `intake`. After: `store.usage.tables`, whose columns these are, in their order. Every
query of every worker comes here, so nothing is done twice that can be done once.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from uuid import NAMESPACE_OID, uuid5

import orjson
from modelserving.worker.v1.usage_service_pb2 import UsageAttempt, UsageEntry, UsageOutcome

from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage.ledger import Model, UsageValues

_ORIGIN_BYTES = 16
_DAY_MS = 86_400_000
_REMEMBERED = 10_000
_NO_MODELS: Mapping[str, Model] = {}
_NO_MODEL = "", ""
_RUNNING, _ENDED, _UNKNOWN = (
    state.value for state in (UsageState.RUNNING, UsageState.ENDED, UsageState.UNKNOWN)
)
_NO_OUTCOME = (None, "", None, None, None, None, False, 0, None, None, "[]", "", "{}")


def build_rows(
    entries: Iterable[UsageEntry],
    tags: Mapping[str, str],
    models: Mapping[tuple[str, int], Mapping[str, Model]],
    now_ms: int,
) -> tuple[list[UsageValues], list[UsageValues]]:
    """Return the origins of queries, and the queries.

    Args:
        entries: What workers report.
        tags: Tags of endpoints, as they are stored, by identifier.
        models: Models by endpoint, version and served entity, as far as they are known.
        now_ms: Wall time, milliseconds since the epoch.
    """
    stored_ms = now_ms // _DAY_MS * _DAY_MS
    origins: dict[object, UsageValues] = {}
    rows = []
    for entry in entries:
        outcome = entry.outcome
        endpoint_id, version = entry.endpoint_id, entry.config_version
        served = outcome.served_entity_name or entry.served_entity_name
        origin = _origin(
            stored_ms,
            (endpoint_id, entry.endpoint_name, tags.get(endpoint_id, "[]"), version),
            (served, entry.task),
            (entry.requester_id, entry.requester, entry.client),
            models.get((endpoint_id, version), _NO_MODELS).get(served, _NO_MODEL),
        )
        origins[origin[0]] = origin
        rows.append(_row(entry, outcome, origin))
    return list(origins.values()), rows


@lru_cache(maxsize=_REMEMBERED)
def served_entity_id(endpoint_id: str, config_version: int, name: str) -> str:
    """Return the identifier of a served entity in one version of a configuration."""
    return uuid5(NAMESPACE_OID, f"{endpoint_id}/{config_version}/{name}").hex


@lru_cache(maxsize=_REMEMBERED)
def _origin(
    stored_ms: int,
    endpoint: tuple[str, str, str, int],
    served: tuple[str, str],
    requester: tuple[str, str, str],
    model: Model,
) -> UsageValues:
    endpoint_id, endpoint_name, tags_json, config_version = endpoint
    entity_id = served_entity_id(endpoint_id, config_version, served[0])
    values = (
        stored_ms,
        _text(endpoint_id),
        _text(endpoint_name),
        tags_json,
        config_version,
        entity_id,
        *map(_text, (*served, *requester, *model)),
    )
    origin_id = blake2b(orjson.dumps(values), digest_size=_ORIGIN_BYTES).digest()
    return (origin_id, *values)


def _row(entry: UsageEntry, outcome: UsageOutcome, origin: UsageValues) -> UsageValues:
    state = _ENDED
    if not entry.HasField("outcome"):
        state = _RUNNING
    elif outcome.unknown:
        state = _UNKNOWN
    client_request_id = entry.client_request_id
    return (
        entry.key.hex(),
        origin[0],
        origin[2],
        entry.time_ms,
        state,
        _text(entry.request_id),
        _text(client_request_id) if client_request_id else "",
        _context(entry),
        entry.streaming,
        entry.input_characters,
        *(_outcome(outcome) if state is _ENDED else _NO_OUTCOME),
    )


def _outcome(outcome: UsageOutcome) -> UsageValues:
    known = outcome.HasField
    error = outcome.error
    return (
        outcome.status_code,
        _text(error) if error else "",
        outcome.input_tokens if known("input_tokens") else None,
        outcome.output_tokens if known("output_tokens") else None,
        outcome.cached_tokens if known("cached_tokens") else None,
        outcome.reasoning_tokens if known("reasoning_tokens") else None,
        outcome.estimated,
        outcome.output_characters,
        outcome.latency_ms,
        outcome.first_chunk_ms if known("first_chunk_ms") else None,
        _attempts(outcome),
        *_guardrail(outcome),
    )


def _guardrail(outcome: UsageOutcome) -> UsageValues:
    if not outcome.HasField("guardrail"):
        return "", "{}"
    found = outcome.guardrail
    told = {
        "policy": _text(found.policy),
        "phase": _text(found.phase),
        "entities": {_text(kind): count for kind, count in found.entities.items()},
        "check_us": found.check_us,
        "unread_parts": found.unread_parts,
        "logged": {_text(name): _text(action) for name, action in found.logged.items()},
    }
    return _text(found.action), orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def _context(entry: UsageEntry) -> str:
    if not entry.usage_context:
        return "{}"
    context = {_text(key): _text(value) for key, value in entry.usage_context.items()}
    return orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode()


def _attempts(outcome: UsageOutcome) -> str:
    attempts = outcome.attempts
    if len(attempts) == 1:
        [only] = attempts
        if not only.error and only.served_entity_name == outcome.served_entity_name:
            # What nearly all queries have: the row knows the rest.
            return orjson.dumps((round(only.latency_ms, 3),)).decode()
    return orjson.dumps([_attempt(attempt) for attempt in attempts]).decode()


def _attempt(attempt: UsageAttempt) -> dict[str, object]:
    return {
        "served_entity_name": _text(attempt.served_entity_name),
        "error": _text(attempt.error),
        "latency_ms": round(attempt.latency_ms, 3),
    }


def _text(value: str) -> str:
    """Return a text as PostgreSQL takes it; one entry that it refuses would hold up all others."""
    return value.replace("\0", "") if "\0" in value else value
