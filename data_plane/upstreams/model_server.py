"""What the server of a hosted model is told beside the caller's bytes, and what it says: pure.

Used by `hosted_relay.py` and `hosted_stream.py`.
"""

import re
from collections.abc import Mapping

import orjson

from modelplane.adapters.providers.types import (
    JsonObject,
    NestedTooDeeply,
    Usage,
    as_count,
    parse_usage,
)
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID
from modelplane.data_plane.calls.call import Call
from modelplane.data_plane.calls.characters import answer_characters
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import (
    DataPlaneError,
    DeadlineExceeded,
    EntityBusy,
    ModelRefused,
    ModelRefusedParameter,
)
from modelplane.data_plane.hosting.balancing import Replica

TIMED_OUT = (
    "Timed out while evaluating the model. Verify that the model evaluates within the timeout."
)
_FAILED = (
    "Encountered an unexpected error while evaluating the model. Verify that the input is "
    "compatible with the model."
)
_BUSY = "x-modelplane-busy"
_LOAD = "x-modelplane-load"
_DEADLINE = "x-modelplane-deadline-ms"
_TASK = "x-modelplane-task"
# With "true", MLflow's own server for agents tells the name of the trace. The only header of a
# caller's that a model's server gets, and only one of an agent of this task.
_TRACE_ID = "x-mlflow-return-trace-id"
_RESPONSES = "agent/v1/responses"
_COUNT = re.compile(r"[0-9]{1,6}")
_USAGE = b'"usage"'
_OK = 200
_WRONG_TOKEN, _TOO_MANY, _FULL, _TOO_SLOW = 401, 429, 503, 504


def build_headers(replica: Replica, call: Call, task: str, seconds: float) -> dict[str, str]:
    """Return the headers of a request.

    Args:
        replica: Whom it is sent to.
        call: Whose it is.
        task: Task of the model; empty: none.
        seconds: Time that the model may take.
    """
    headers = {
        **replica.headers,
        REQUEST_ID: call.request_id,
        _DEADLINE: str(max(1, int(seconds * 1000))),
    }
    # Whoever has logged the model has chosen it, and may have chosen what is no header.
    if task and task.isascii() and task.isprintable():
        headers[_TASK] = task
    if task == _RESPONSES and call.metadata.get(_TRACE_ID, "").lower() == "true":
        headers[_TRACE_ID] = "true"
    return headers


def is_answer(status: int) -> bool:
    """Tell whether a response is the model's answer."""
    return status == _OK


def is_full(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether a server has refused a request unread, since it has too many."""
    return status == _FULL and _BUSY in headers


def is_stranger(status: int) -> bool:
    """Tell whether a server does not know the token: it is not the replica that was asked."""
    return status == _WRONG_TOKEN


def parse_load(headers: Mapping[str, str]) -> int | None:
    """Return how many requests a server says are in it; None: it does not say."""
    text = headers.get(_LOAD, "")
    return int(text) if _COUNT.fullmatch(text) else None


def parse_failure(status: int, body: bytes) -> DataPlaneError:
    """Return the error that a server's failed response is for the caller.

    What fails in the model is the caller's matter, never the gateway's: a status from 500 on would
    have clients run it again and again.
    """
    code, message = _parse_error(body)
    if status == _TOO_SLOW:
        return DeadlineExceeded(TIMED_OUT)
    if status == _TOO_MANY:
        return EntityBusy(message) if message else EntityBusy()
    refused = ModelRefusedParameter if code == "INVALID_PARAMETER_VALUE" else ModelRefused
    return refused(message or _FAILED)


def counts_characters(record: Record, task: str) -> bool:
    """Tell whether a limit wants to know how long an answer is."""
    return bool(task) and record.ticket is not None and spec_of(task).generates


def tells_usage(answer: bytes) -> bool:
    """Tell whether an answer, or an event of a stream, may report tokens."""
    return _USAGE in answer


def note_usage(record: Record, task: str, answer: bytes) -> None:
    """Note in the record the tokens that an answer, or an event of a stream, reports.

    A model without a task has none, and its answer is not looked at.

    Args:
        record: The call's.
        task: Task of the model.
        answer: JSON.
    """
    if not task:
        return
    counts = counts_characters(record, task)
    if not (counts or tells_usage(answer)):
        return
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return
    if isinstance(value, dict):
        record.usage = _parse_usage(value) or record.usage
        if counts:
            record.output_characters += answer_characters(value)


def parse_json(document: bytes) -> object:
    """Return the value of what a model answers.

    Raises:
        ModelRefused: It is no JSON that can be written again.
    """
    try:
        value: object = orjson.loads(document)
        orjson.dumps(value)
    except (orjson.JSONDecodeError, NestedTooDeeply):
        raise ModelRefused("The model's answer is no JSON that can be looked through.") from None
    return value


def error_in(event: bytes) -> ModelRefused | None:
    """Return the error that an event of a stream tells; None: it is none."""
    if not event.startswith(b'{"error":'):
        return None
    return ModelRefused(_parse_error(event)[1] or _FAILED)


def _parse_usage(answer: JsonObject) -> Usage | None:
    # Of a response in the form of OpenAI's Responses API, if it is no chat's.
    response = answer.get("response")
    usage = answer.get("usage") or (response.get("usage") if isinstance(response, dict) else None)
    if isinstance(usage, dict) and "input_tokens" in usage:
        return Usage(as_count(usage["input_tokens"]), as_count(usage.get("output_tokens")))
    return parse_usage(answer)


def _parse_error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error; empty where it has none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    error = value.get("error", value) if isinstance(value, dict) else None
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", ""
    code, message = error.get("error_code"), error.get("message")
    return (
        code if isinstance(code, str) else "",
        message.strip() if isinstance(message, str) else "",
    )
