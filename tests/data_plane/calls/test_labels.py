import pytest

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.calls.characters import (
    answer_characters,
    estimate_tokens,
    prompt_characters,
)
from modelplane.data_plane.calls.labels import NO_LABELS, Labels, parse_labels
from modelplane.data_plane.calls.tasks import SPECS
from modelplane.data_plane.errors import InvalidParameter


def test_labels_are_read() -> None:
    body: JsonObject = {"usage_context": {"team": "a"}, "client_request_id": "c-1"}
    assert parse_labels(body) == Labels("c-1", {"team": "a"})
    assert parse_labels({}) is NO_LABELS
    assert parse_labels({"usage_context": None, "client_request_id": None}) is NO_LABELS
    assert parse_labels({"usage_context": {}}) == NO_LABELS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usage_context", "x"),
        ("usage_context", ["x"]),
        ("usage_context", {"a": 1}),
        ("usage_context", {"a": None}),
        ("usage_context", {str(number): "" for number in range(51)}),
        ("usage_context", {"k" * 129: ""}),
        ("usage_context", {"k": "v" * 1025}),
        ("usage_context", {str(number): "v" * 1000 for number in range(5)}),
        ("usage_context", {"a": "\0"}),
        ("client_request_id", 1),
        ("client_request_id", "x" * 257),
        ("client_request_id", "\0"),
    ],
)
def test_labels_of_another_form_are_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=name):
        parse_labels({name: value})


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"messages": [{"content": "abc"}, {"content": "de"}, {"role": "tool"}, 1]}, 5),
        ({"messages": [{"content": [{"text": "abc"}, {"image_url": {"url": "x"}}, "y"]}]}, 3),
        ({"prompt": "abc"}, 3),
        ({"prompt": ["abc", "de"]}, 5),
        ({"input": ["abc", [1, 2]]}, 3),
        ({"inputs": {"x": "y"}}, 0),
    ],
)
def test_characters_of_prompts_are_counted(body: JsonObject, count: int) -> None:
    fields = next((spec.prompt for spec in SPECS.values() if spec.prompt[0] in body), ())
    assert prompt_characters(body, fields) == count


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"choices": [{"message": {"content": "abc"}}, {"message": {"content": None}}]}, 3),
        ({"choices": [{"delta": {"content": "ab"}}, {"delta": {}}]}, 2),
        ({"choices": [{"text": "abcd"}]}, 4),
        ({"choices": "x"}, 0),
        ({"data": []}, 0),
    ],
)
def test_characters_of_answers_are_counted(answer: JsonObject, count: int) -> None:
    assert answer_characters(answer) == count


def test_tokens_are_estimated_as_the_mirrored_product_does() -> None:
    assert [estimate_tokens(count) for count in (0, 3, 7, 8)] == [0, 1, 2, 2]
