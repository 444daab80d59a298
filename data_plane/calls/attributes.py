"""What is told of a call by OpenTelemetry's conventions for generative AI, whoever is told.

Used by `../telemetry/` for a collector, and by `../payloads/signals.py` for tables; pure, and
without OpenTelemetry's own library. Neither prompts nor answers are told, nor who called.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from modelplane.adapters.providers.registry import SEMANTIC_NAMES
from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import UpstreamResting
from modelplane.data_plane.snapshots.snapshot import ServedEntity

SERVER_ERROR, CLIENT_ERROR = 500, 400
Attributes = dict[str, str | bool | int | float]
_NOT_ASKED = UpstreamResting.__name__


class Instrument(NamedTuple):
    """What is measured.

    Attributes:
        unit: Of its values, as UCUM has it.
        description: What it is.
        bounds: Of its buckets, as the conventions give them.
    """

    unit: str
    description: str
    bounds: tuple[float, ...]


_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(float(4**power) for power in range(14))
_ATTEMPT = "gen_ai.client.operation.duration"
_REQUEST = "gen_ai.server.request.duration"
_FIRST = "gen_ai.server.time_to_first_token"
_USED = "gen_ai.client.token.usage"
INSTRUMENTS: Mapping[str, Instrument] = {
    _ATTEMPT: Instrument("s", "Duration of attempts at providers.", _SECONDS),
    _REQUEST: Instrument("s", "Duration of calls.", _SECONDS),
    _FIRST: Instrument("s", "Time to the first chunk of a stream.", _SECONDS),
    _USED: Instrument("{token}", "Tokens that calls used.", _TOKENS),
}


def measure(record: Record, now: float) -> Iterator[tuple[str, float, Attributes]]:
    """Yield what a call that has ended adds to each instrument: its name, a value, attributes.

    Args:
        record: The call.
        now: Its end, seconds of the clock of `record.started`.
    """
    operation = operation_of(record)
    own = _own_attributes(record, operation)
    yield _REQUEST, now - record.started, own
    if record.chunks:
        yield _FIRST, record.first_chunk - record.started, own
    for attempt in made_attempts(record):
        attributes = attempt_attributes(record, attempt, operation)
        yield _ATTEMPT, attempt.seconds, attributes
        if usage := usage_of(record, attempt):
            used = {name: told for name, told in attributes.items() if name != "error.type"}
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if tokens is not None:
                    yield _USED, tokens, used | {"gen_ai.token.type": kind}


def _own_attributes(record: Record, operation: str) -> Attributes:
    own: Attributes = {"gen_ai.operation.name": operation}
    if record.endpoint:
        own["gen_ai.request.model"] = record.endpoint.name
    if record.entity:
        own["gen_ai.provider.name"] = _provider(record.entity)
    if error := _error_type(record):
        own["error.type"] = error
    return own


def made_attempts(record: Record) -> Iterator[Attempt]:
    """Yield the attempts for which something was asked."""
    return (attempt for attempt in record.attempts if attempt.error != _NOT_ASKED)


def has_failed(record: Record) -> bool:
    """Tell whether a call is an error of the server: also a stream that broke off."""
    return record.status >= SERVER_ERROR or bool(record.error and record.status < CLIENT_ERROR)


def call_attributes(record: Record) -> Attributes:
    """Return what is told of a call."""
    attributes: Attributes = {
        "http.response.status_code": record.status,
        "modelplane.request_id": record.request_id,
        "gen_ai.request.stream": record.stream,
    }
    if record.endpoint:
        attributes["gen_ai.request.model"] = record.endpoint.name
    if record.config:
        attributes["modelplane.config_version"] = record.config.version
    if record.entity:
        attributes["modelplane.served_entity"] = record.entity.name
        attributes["gen_ai.provider.name"] = _provider(record.entity)
    if error := _error_type(record):
        attributes["error.type"] = error
    if record.chunks:
        attributes["gen_ai.response.time_to_first_chunk"] = record.first_chunk - record.started
    if record.usage:
        attributes |= token_attributes(record.usage)
    return attributes


def attempt_attributes(record: Record, attempt: Attempt, operation: str) -> Attributes:
    """Return what is told of an attempt at a provider, without what it used."""
    attributes: Attributes = {"gen_ai.operation.name": operation}
    if attempt.served:
        attributes["gen_ai.provider.name"] = _provider(attempt.served)
        attributes["gen_ai.request.model"] = attempt.served.model
    if record.stream:
        attributes["gen_ai.request.stream"] = True
    if attempt.model:
        attributes["gen_ai.response.model"] = attempt.model
    if attempt.address:
        host, _, port = attempt.address.rpartition(":")
        attributes["server.address"] = host
        attributes["server.port"] = int(port)
    if attempt.error:
        attributes["error.type"] = attempt.error
    return attributes


def usage_of(record: Record, attempt: Attempt) -> Usage | None:
    """Return what an attempt used: the record knows it of the last one, which was answered."""
    return record.usage if attempt is record.attempts[-1] else None


def token_attributes(usage: Usage) -> Attributes:
    """Return the tokens that were used, as attributes."""
    attributes: Attributes = {}
    if usage.input_tokens is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
    return attributes


def operation_of(record: Record) -> str:
    """Return what a call does, in the words of the conventions."""
    return spec_of(record.config.task if record.config else "").operation


def _provider(entity: ServedEntity) -> str:
    return SEMANTIC_NAMES.get(entity.provider, entity.provider) or "modelplane"


def _error_type(record: Record) -> str:
    return record.error or (str(record.status) if record.status >= CLIENT_ERROR else "")
