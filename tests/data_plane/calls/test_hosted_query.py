import pytest

from modelplane.data_plane.calls.hosted_query import build_hosted_query, skim_body
from modelplane.data_plane.calls.query import MAX_VALUES
from modelplane.data_plane.errors import MalformedRequest

MANY = b"1," * MAX_VALUES + b"1"


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        (b'{"inputs": 1}', False),
        (b'{"inputs": 1, "stream": true}', True),
        (b'{"inputs": 1, "stream": false}', False),
        # A column of that name, say.
        (b'{"inputs": 1, "stream": [1]}', False),
        (b' {"inputs": [%b]}' % MANY, False),
    ],
)
def test_a_model_gets_the_bytes_that_were_sent(body: bytes, *, stream: bool) -> None:
    query = build_hosted_query(skim_body(body), body)
    assert query.raw is body
    assert query.stream is stream


def test_a_typed_message_becomes_json() -> None:
    body: dict[str, object] = {"messages": [{"role": "user"}], "stream": True}
    query = build_hosted_query(skim_body(body), body)
    assert query.raw == b'{"messages":[{"role":"user"}],"stream":true}'
    assert query.stream
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(MalformedRequest, match="nested too deeply"):
        build_hosted_query(deep, deep)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[1]", "must be a JSON object"),
        (b'{"a"', "not valid JSON"),
        (b"[%b]" % MANY, "must be a JSON object"),
        # What it asks of the gateway would have to be looked for among all the values.
        (b'{"inputs": [%b], "stream": true}' % MANY, "too many values"),
        (b'{"inputs": [%b], "usage_context": {}}' % MANY, "too many values"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(MalformedRequest, match=words):
        skim_body(body)
