"""What a line of a log says of a call."""

import orjson
import pytest

from modelplane.deploy.command.logs.calls import parse_call

TIME = "2026-01-02T03:04:05.678+00:00"
QUERY = {
    "time": TIME,
    "logger": "modelplane.data_plane.access",
    "status": 200,
    "duration_ms": 12.3,
    "endpoint": "chat",
    "served_entity": "small",
    "principal": "kim",
    "input_tokens": 8,
    "output_tokens": None,
}
REFUSED = QUERY | {"status": 429, "error": "LimitExceeded", "reason": "No more than 5."}
BROKEN = QUERY | {"error": "StreamTruncated", "reason": "openai: The stream ended"}
MANAGEMENT = {
    "time": TIME,
    "logger": "modelplane.control_plane.interceptor",
    "method": "GetServingEndpoint",
    "status": "NOT_FOUND",
    "principal": "kim",
    "ms": 4.0,
    "reason": "There is none.",
}
ENVOYS = {
    "time": TIME,
    "method": "GET",
    "path": "/nope",
    "status": 404,
    "details": "direct_response",
    "client": "127.0.0.1:4711",
    "duration_ms": 0,
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (QUERY, "200 False chat/small kim 8+0 tokens"),
        (REFUSED, "429 True chat/small kim No more than 5."),
        (BROKEN, "200 True chat/small kim openai: The stream ended"),
        (MANAGEMENT, "NOT_FOUND True GetServingEndpoint kim There is none."),
        (ENVOYS, "404 True GET /nope 127.0.0.1 there is no such path"),
        (ENVOYS | {"details": "some_thing{x}"}, "404 True GET /nope 127.0.0.1 some thing"),
    ],
)
def test_a_call_in_words(line: dict[str, object], words: str) -> None:
    call = parse_call(orjson.dumps(line))
    assert call is not None
    found = (call.status, str(call.failed), call.what, call.who, call.words)
    assert " ".join(found) == words


@pytest.mark.parametrize(
    "line",
    [
        # Envoy has passed it on, so that another part tells of it.
        orjson.dumps(ENVOYS | {"details": "via_upstream"}),
        orjson.dumps(ENVOYS | {"details": "health_check_ok_cluster_healthy"}),
        orjson.dumps({"time": TIME, "logger": "modelplane.data_plane", "message": "draining"}),
        orjson.dumps({"logger": "modelplane.data_plane.access"}),
        b"[2026-01-02 03:04:05.678][1][info][main] starting",
        b"[]",
        b'{"time": "2026',
    ],
)
def test_lines_that_tell_of_no_call(line: bytes) -> None:
    assert parse_call(line) is None
