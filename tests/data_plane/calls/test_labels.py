import pytest

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.calls.labels import NO_LABELS, Labels, parse_labels
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
