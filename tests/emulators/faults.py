"""What an emulator can be told to do wrong, per model; `emulator` carries it out.

A fault holds for a number of requests, or until it is cleared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal[
    "status",  # Answer `status` with `body` and `headers`.
    "stall",  # Accept the request and send nothing.
    "stall_stream",  # Send `after_events` events, then nothing.
    "trickle",  # Answer correctly, byte by byte.
    "truncate",  # Send `after_events` events (or half of the document), then cut the connection.
    "end_early",  # Send `after_events` events, then end the body properly without `[DONE]`.
    "error_event",  # Send `after_events` events, then an error, as `body` says.
    "garbage",  # Answer 200 with what is no JSON.
    "drop",  # Cut the connection before the first byte.
]
ANY_MODEL = "*"
# Seconds of `Retry-After` that are longer than a worker waits: it hands the error on at once.
LONG_PAUSE = 3600


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave."""

    kind: Kind
    status: int = 500
    body: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    after_events: int = 0
    # Whether the server waits for `resume()` between the events and the fault.
    held: bool = False
    # Number of requests that the fault holds for; None: until cleared.
    times: int | None = None


class Faults:
    """The faults in force, by model."""

    def __init__(self) -> None:
        self._by_model: dict[str, Fault] = {}

    def put(self, model: str, fault: Fault) -> None:
        """Let the requests to `model` (ANY_MODEL: to all) meet `fault`."""
        self._by_model[model] = fault

    def clear(self) -> None:
        """Behave again."""
        self._by_model.clear()

    def take(self, model: str) -> Fault | None:
        """Return the fault that the next request to `model` meets, and count it."""
        key = model if model in self._by_model else ANY_MODEL
        fault = self._by_model.get(key)
        if fault is not None and fault.times is not None:
            if fault.times <= 1:
                del self._by_model[key]
            else:
                self._by_model[key] = replace(fault, times=fault.times - 1)
        return fault
