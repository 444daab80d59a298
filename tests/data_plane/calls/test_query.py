from typing import Any

import orjson
import pytest

from modelplane.adapters.providers.types import Task
from modelplane.data_plane.calls.query import MAX_VALUES, build_query, parse_body, wants_usage
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import InvalidParameter, MalformedRequest

CHAT = spec_of(Task.CHAT)
MESSAGES: dict[str, Any] = {"messages": [{"role": "user", "content": "secret prompt"}]}


@pytest.mark.parametrize("body", [b'{"a": "secret prompt', b'{"secret prompt": nope}'])
def test_an_error_points_at_the_place_and_quotes_nothing(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match=r"line 1 column \d+") as caught:
        parse_body(body)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b"[[[]]]", b'{"a":{}}'])
def test_a_body_has_a_bound_of_values(value: bytes) -> None:
    many = MAX_VALUES // (1 + value.count(b"[") + value.count(b"{"))
    with pytest.raises(MalformedRequest, match="too many values"):
        parse_body(b'{"x":[' + (value + b",") * (many + 1) + b"0]}")
    few = parse_body(b'{"x":[' + (value + b",") * (many - 10) + b"0]}")
    values = few["x"]
    assert isinstance(values, list)
    assert len(values) == many - 9


def test_a_long_text_has_one_value() -> None:
    text = "It is a long text, and has commas here and there. " * 310_000
    assert parse_body(orjson.dumps({"x": text[: 15 << 20]}))["x"]


def test_unknown_fields_pass() -> None:
    body = MESSAGES | {"logit_bias": {"50256": -100}, "top_k": 3, "stop": None}
    assert build_query(CHAT, dict(body)).body == body


@pytest.mark.parametrize(("value", "stream"), [(True, True), (False, False), (None, False)])
def test_stream(value: object, *, stream: bool) -> None:
    assert build_query(CHAT, MESSAGES | {"stream": value}).stream is stream


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, None),
        ({}, None),
        ({"include_usage": None}, None),
        ({"include_usage": False}, False),
        ({"include_usage": True}, True),
    ],
)
def test_who_wants_usage(options: object, *, expected: bool | None) -> None:
    body = MESSAGES | {"stream": True, "stream_options": options}
    assert wants_usage(build_query(CHAT, body)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.5", 0.5),
        ("-1", -1),
        ("true", True),
        ("false", False),
        ("text", "text"),
        ("10 apples", "10 apples"),
        ("", ""),
        ('{"a":1}', '{"a":1}'),
        (7, 7),
        ([1], [1]),
    ],
)
def test_extra_parameters_become_what_they_read_as(value: object, expected: object) -> None:
    body = build_query(CHAT, MESSAGES | {"extra_params": {"x": value}}).body
    assert body == MESSAGES | {"x": expected}


def test_extra_parameters_win_over_nothing() -> None:
    extra = {"temperature": "1", "user": "42", "usage_context": "x"}
    body = build_query(CHAT, MESSAGES | {"temperature": 0, "extra_params": extra}).body
    assert body == MESSAGES | {"temperature": 0, "user": "42"}


def test_extra_parameters_cannot_slip_past_the_checks() -> None:
    with pytest.raises(InvalidParameter, match="streamed"):
        build_query(spec_of(Task.EMBEDDINGS), {"input": "a", "extra_params": {"stream": "true"}})


@pytest.mark.parametrize(
    ("task", "body", "words"),
    [
        (Task.COMPLETIONS, {}, "'prompt'"),
        (Task.COMPLETIONS, {"prompt": 3}, "'prompt'"),
        (Task.EMBEDDINGS, {"input": None}, "'input'"),
        (Task.EMBEDDINGS, {"input": {}}, "'input'"),
        (Task.CHAT, {"messages": [None]}, "'messages'"),
        (Task.CHAT, MESSAGES | {"stream": 1}, "'stream'"),
        (Task.CHAT, MESSAGES | {"stream_options": []}, "'stream_options'"),
        (Task.CHAT, MESSAGES | {"extra_params": "x"}, "'extra_params'"),
    ],
)
def test_what_cannot_be_right_names_the_field(task: Task, body: Any, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        build_query(spec_of(task), body)
