"""The record of a call: what is known of it by now.

`invocation.py` fills it while it answers, `accounting.py` opens and closes it.
"""

from dataclasses import dataclass, field

from modelplane.adapters.providers.types import Usage
from modelplane.adapters.shared.rpc.metadata import ATTEMPT_ERRORS, ATTEMPTS, Metadata
from modelplane.data_plane.calls.judging import Court
from modelplane.data_plane.calls.labels import NO_LABELS, Labels
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import Config, Endpoint, ServedEntity

OK = 200
CLIENT_CLOSED = 499


@dataclass(slots=True)
class Attempt:
    """One attempt to have a query answered.

    Attributes:
        entity: Name of the served entity asked.
        error: Class of the error; empty for a success.
        seconds: Time that it took.
        started: Its start, seconds of the event loop's clock.
        served: The served entity.
        address: `host:port` of the provider; noted only for telemetry.
        model: Model that the provider says has answered; noted only for telemetry.
    """

    entity: str
    error: str
    seconds: float
    started: float = 0.0
    served: ServedEntity | None = None
    address: str = ""
    model: str = ""


@dataclass(slots=True)
class Record:
    """One call. Never holds a prompt, an answer or a credential.

    Attributes:
        started: Start of the call, seconds of the monotonic clock.
        ended: Its end; 0.0: it has not come.
        status: HTTP status that the caller saw.
        error: Class of the error; also set when a stream failed after it began.
        reason: Why, in words that a log may have.
        first_chunk: Time of the first chunk, seconds of the monotonic clock.
        chunks: Messages sent in a stream.
        admitted: Whether a provider was to be called.
        attempts: Attempts made, in order.
        labels: What the caller noted on it.
        input_characters: Length of the prompt; counted only where usage is tracked.
        output_characters: Length of the answer.
        ticket: The ledger's; None where usage is not tracked.
        trace: The telemetry's; None where there is none.
        address: `host:port` of the provider that is being asked.
        model: Model that it says answers.
        held_bytes: Those of its body that `bodies.py` counts.
        capture: What is captured of its payloads; None where that is nothing.
        waited: How long it has waited for a replica of a hosted model, seconds.
        user_agent: What the program that calls says of itself.
        guard: Applies the endpoint's guardrails; None: it has none.
        court: Asks their judges; None: there are none, or it is a judge's call.
    """

    request_id: str
    started: float
    principal: Principal | None = None
    endpoint: Endpoint | None = None
    config: Config | None = None
    entity: ServedEntity | None = None
    ended: float = 0.0
    status: int = OK
    error: str = ""
    reason: str = ""
    stream: bool = False
    first_chunk: float = 0.0
    chunks: int = 0
    usage: Usage | None = None
    admitted: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    labels: Labels = NO_LABELS
    input_characters: int = 0
    output_characters: int = 0
    ticket: object = None
    trace: object = None
    address: str = ""
    model: str = ""
    held_bytes: int = 0
    capture: object = None
    waited: float = 0.0
    user_agent: str = ""
    guard: Guard | None = None
    court: Court | None = None


def attempt_headers(record: Record, under_way: int = 0) -> Metadata:
    """Return the metadata that tells of attempts that failed; empty where none did.

    Args:
        record: Holds the attempts that have ended.
        under_way: 1 while one that has not ended is being answered.
    """
    failed = [f"{attempt.entity}={attempt.error}" for attempt in record.attempts if attempt.error]
    if not failed:
        return ()
    return ((ATTEMPTS, str(len(record.attempts) + under_way)), (ATTEMPT_ERRORS, ", ".join(failed)))
