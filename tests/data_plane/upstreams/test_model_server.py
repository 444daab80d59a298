import pytest
from modelserving.worker.v1 import hosting_pb2 as pb

from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import (
    DeadlineExceeded,
    EntityBusy,
    ModelRefused,
    ModelRefusedParameter,
)
from modelplane.data_plane.hosting.balancing import Replica
from modelplane.data_plane.upstreams.model_server import (
    build_headers,
    error_in,
    is_full,
    note_usage,
    parse_failure,
    parse_load,
)

REPLICA = Replica(pb.Replica(id="1", address="10.0.0.1:9", token="t-1", concurrency=4))


def call(**metadata: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in metadata.items()}
    return Call(Method.QUERY, named, "r-1")


def test_a_request_says_whose_it_is_and_how_long_it_may_take() -> None:
    headers = build_headers(REPLICA, call(), "", 1.5)
    assert headers == {
        "authorization": "Bearer t-1",
        "content-type": "application/json",
        "x-request-id": "r-1",
        "x-modelplane-deadline-ms": "1500",
    }
    headers = build_headers(REPLICA, call(), "agent/v1/chat", -1)
    assert headers["x-modelplane-task"] == "agent/v1/chat"
    assert headers["x-modelplane-deadline-ms"] == "1"
    assert "x-modelplane-task" not in build_headers(REPLICA, call(), "a\r\nb: c", 1)


@pytest.mark.parametrize(
    ("task", "said", "wanted"),
    [
        ("agent/v1/responses", "True", True),
        ("agent/v1/responses", "false", False),
        ("agent/v1/chat", "true", False),
    ],
)
def test_an_agent_is_asked_for_the_name_of_its_trace(task: str, said: str, *, wanted: bool) -> None:
    headers = build_headers(REPLICA, call(x_mlflow_return_trace_id=said, cookie="a"), task, 1)
    assert headers.get("x-mlflow-return-trace-id") == ("true" if wanted else None)
    assert "cookie" not in headers


@pytest.mark.parametrize(
    ("text", "load"), [("3", 3), ("0", 0), ("", None), ("-1", None), ("x", None), ("9" * 9, None)]
)
def test_the_load_is_a_number_or_not_said(text: str, load: int | None) -> None:
    assert parse_load({"x-modelplane-load": text}) == load


def test_only_a_server_that_says_so_is_full() -> None:
    assert is_full(503, {"x-modelplane-busy": "1"})
    assert not is_full(503, {})
    assert not is_full(500, {"x-modelplane-busy": "1"})


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (400, b'{"error_code": "BAD_REQUEST", "message": "No."}', ModelRefused, "No."),
        (
            400,
            b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "No."}',
            ModelRefusedParameter,
            "No.",
        ),
        (500, b'{"error": {"message": "No."}}', ModelRefused, "No."),
        (500, b'{"error": "No."}', ModelRefused, "No."),
        (500, b'{"message": {}}', ModelRefused, "Encountered an unexpected error"),
        (500, b"[1]", ModelRefused, "Encountered an unexpected error"),
        (302, b"\xff", ModelRefused, "Encountered an unexpected error"),
        (429, b"", EntityBusy, "Too many concurrent requests."),
        (504, b"", DeadlineExceeded, "Timed out while evaluating the model."),
    ],
)
def test_a_failure_is_said_in_the_models_words_if_it_has_any(
    status: int, body: bytes, error: type[Exception], message: str
) -> None:
    failure = parse_failure(status, body)
    assert type(failure) is error
    assert str(failure).startswith(message)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'{"error":{"message":"No."}}', "No."),
        (b'{"error": "No."}', "No."),
        (b'{"delta": "error"}', None),
        (b'{"errors": 1}', None),
    ],
)
def test_an_event_may_be_an_error(event: bytes, message: str | None) -> None:
    error = error_in(event)
    assert (error and str(error)) == message


@pytest.mark.parametrize(
    ("task", "answer", "usage"),
    [
        ("", b'{"usage": {"prompt_tokens": 1}}', None),
        ("agent/v1/chat", b'{"usage": {"prompt_tokens": 1}}', Usage(1, None)),
        ("agent/v1/responses", b'{"usage": {"input_tokens": 1, "output_tokens": 2}}', Usage(1, 2)),
        (
            "agent/v1/responses",
            b'{"type": "response.completed", "response": {"usage": {"input_tokens": 1}}}',
            Usage(1, None),
        ),
        ("agent/v1/chat", b'{"usage": null}', None),
        ("agent/v1/chat", b'["usage"]', None),
        ("agent/v1/chat", b'{"usage"', None),
    ],
)
def test_tokens_are_noted_as_the_model_tells_them(
    task: str, answer: bytes, usage: Usage | None
) -> None:
    record = Record("r-1", 0.0)
    note_usage(record, task, answer)
    assert record.usage == usage


def test_the_text_of_a_model_that_does_not_count_is_measured() -> None:
    record = Record("r-1", 0.0, ticket=object())
    answer = b'{"choices": [{"message": {"content": "hello"}}]}'
    note_usage(record, "llm/v1/chat", answer)
    assert (record.usage, record.output_characters) == (None, 5)
