"""What providers write, read as liberally as clients read it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_objects,
    as_text,
    as_texts,
    load_json,
)
from modelplane.adapters.providers.types import HttpAnswer, Task, as_count
from tests.adapters.providers.conformance import CASES, ProviderCase, reassemble
from tests.adapters.providers.recordings import record, rewrite

LONE = "\ud83d"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ude00"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\n\ude00"', "\ufffd\n\ufffd"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'{"\uDC00": "\u00e9"}', {"\ufffd": "é"}),
        (b'"\xff"', "\ufffd"),
        (b'"\xed\xa0\xbd"', "\ufffd" * 3),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_no_text_is_replaced(data: bytes, value: object) -> None:
    assert load_json(data) == value


@given(st.recursive(st.text(st.characters()), st.lists, max_leaves=4))
def test_any_text_of_python_is_read(value: Any) -> None:
    assert load_json(json.dumps(value).encode()) == _replaced(value)


def _replaced(value: Any) -> Any:
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize("data", [b"", b"{", b'"\\ud83d', b"[1,]", b'"\\x"'])
def test_what_is_no_json_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="line 1"):
        load_json(data)


def test_what_has_another_type_is_absent() -> None:
    assert (as_object([]), as_objects({}), as_text(1), as_texts("x"), as_count("1")) == (
        {},
        [],
        "",
        [],
        None,
    )


# The answer of one is calls only.
TEXTS = [
    case for case in CASES if case.task != Task.EMBEDDINGS and case.name != "ai21labs/tools/chat"
]


def spoil(value: Any) -> Any:
    """Return a document with half a surrogate pair in each text of the answer."""
    if isinstance(value, dict):
        return {
            name: item + LONE if name in OF_TEXTS and isinstance(item, str) else spoil(item)
            for name, item in value.items()
        }
    return [spoil(item) for item in value] if isinstance(value, list) else value


# Where the providers' texts are.
OF_TEXTS = ("content", "text", "thinking", "completion", "outputText", "generation", "tool_plan")


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_half_a_character_spoils_no_answer(case: ProviderCase) -> None:
    whole = record(case.name, stream=False)
    bodies = [rewrite(answer.body, spoil) for answer in whole.answers]
    assert all(LONE.encode("unicode-escape")[1:] in body or b"\0" in body for body in bodies)
    answers = [
        HttpAnswer(200, one.headers, body) for one, body in zip(whole.answers, bodies, strict=True)
    ]
    answer = whole.adapter.parse_answers(whole.query, answers)
    assert "\ufffd" in json.dumps(answer, ensure_ascii=False)
    json.dumps(answer, ensure_ascii=False).encode()
    if not case.streams:
        return
    streamed = record(case.name, stream=True)
    parser = streamed.adapter.stream_parser(streamed.query)
    chunks = [*parser.feed(rewrite(streamed.stream, spoil)), *parser.finish()]
    json.dumps(chunks, ensure_ascii=False).encode()
    assert "\ufffd" in json.dumps(reassemble(chunks), ensure_ascii=False)
