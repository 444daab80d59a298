import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.errors import MalformedRequest
from modelplane.control_plane.rest.json_document import (
    MAX_BODY_BYTES,
    MAX_VALUES,
    JsonObject,
    parse_document,
)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        # Half a surrogate pair is refused by whoever takes the text.
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_json_is_read_as_it_is(value: object) -> None:
    assert plain(parse_document(json.dumps(value).encode())) == value


def plain(value: object) -> object:
    if isinstance(value, JsonObject):
        return {name: plain(each) for name, each in value.members}
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_an_object_keeps_what_is_given_twice() -> None:
    assert parse_document(b'{"a": 1, "a": {"b": 2}}') == JsonObject(
        [("a", 1), ("a", JsonObject([("b", 2)]))]
    )


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t"])
def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert parse_document(body) == JsonObject()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"name": bad}', "not JSON: Expecting value at line 1, column 10"),
        (b'{\n"name"', "at line 2, column 7"),
        (b'{"a": 1,}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"{a: 1}", "not JSON"),
        (b'{"a": 1} // no', "not JSON"),
        (b'{"a": 1}{"b": 1}', "Extra data"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b'{"a": "\x01"}', "not JSON"),
        (b'{"name": "\xff"}', "not UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"name": "x"}', "not JSON"),
        (b"[" * 50_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number that is too long"),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', f"at most {MAX_BODY_BYTES}"),
        (b"[" + b"1," * MAX_VALUES + b"1]", "too many values"),
        (b"[" + b"[]," * MAX_VALUES + b"[]]", "too many values"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(MalformedRequest, match=words):
        parse_document(body)


def test_a_number_may_be_greater_than_a_double() -> None:
    assert parse_document(b"[1e999]") == [math.inf]
