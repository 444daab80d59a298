"""What a provider may send without end, and what of it is remembered."""

import tracemalloc
from collections.abc import Callable, Iterator

import orjson
import pytest

from modelplane.adapters.providers.amazon_bedrock.event_stream import EventStreamParser
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES, GrowingText
from modelplane.adapters.providers.canonical.json_values import MAX_CONTAINERS, parse_json_object
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import JsonObject, Query
from modelplane.data_plane.upstreams.streaming import ChunkShaper
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.emulators.amazon_bedrock.frames import frame

# More than one event or line is remembered for of the streams below, were each piece kept.
PIECES = 200_000


class _Frames(EventStreamParser):
    def take(self, kind: str, event: JsonObject) -> Iterator[JsonObject]:
        del kind
        yield event


@pytest.mark.parametrize("line", [b"data:\n", b"data: a\n", b"data: ab\r\n"])
def test_lines_of_one_event_take_no_more_memory_than_they_have_bytes(line: bytes) -> None:
    parser = SseParser()
    part = line * 1000
    tracemalloc.start()
    for _ in range(PIECES // 1000):
        assert list(parser.feed(part)) == []
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < PIECES * len(line)


def test_lines_without_a_value_count_too() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(ValueError, match="too large"):
        list(parser.feed(b"data:\n" * 1001))


def _index(index: int) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"choices": [{"index": index, "delta": {}, "text": "a"}]})


def _candidate(index: int) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"candidates": [{"index": index}]})


def _generation(index: int) -> bytes:
    return orjson.dumps({"is_finished": False, "text": "a", "index": index}) + b"\n"


def _parser(name: str) -> StreamParser:
    case: ProviderCase = next(one for one in CASES if one.name == name)
    return build_adapter(case.model("http://127.0.0.1:1")).stream_parser(
        Query(case.body, stream=True)
    )


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("openai/chat", _index),
        ("ai21labs/chat", _index),
        ("google-cloud-vertex-ai/gemini-1.5-pro/chat", _candidate),
        ("cohere/completions", _generation),
    ],
)
def test_choices_without_end_are_no_answer(name: str, piece: Callable[[int], bytes]) -> None:
    parser = _parser(name)
    for index in range(MAX_CHOICES):
        list(parser.feed(piece(index)))
    with pytest.raises(MalformedAnswer):
        list(parser.feed(piece(MAX_CHOICES)))


def test_roles_are_placed_in_no_more_choices_than_there_may_be() -> None:
    shaper = ChunkShaper("llm/v1/chat", wanted=True)
    for index in range(2 * MAX_CHOICES):
        shaper.shape({"choices": [{"index": index, "delta": {}}]})
    assert len(shaper._started) == MAX_CHOICES


def test_a_frame_has_a_bound() -> None:
    head = (MAX_BODY_BYTES + 1).to_bytes(4)
    with pytest.raises(MalformedAnswer):
        list(_Frames("p").feed(head))
    with pytest.raises(MalformedAnswer):
        list(_Frames("p").feed(bytes(4)))


def test_frames_are_read_however_they_are_split() -> None:
    names = {":message-type": "event", ":event-type": "a"}
    data = b"".join(frame(names, b'{"at": %d}' % at) for at in range(20))
    expected = [{"at": at} for at in range(20)]
    for size in (1, 7, 64, len(data)):
        parser = _Frames("p")
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        assert [event for part in parts for event in parser.feed(part)] == expected


def test_a_text_that_grows_has_a_bound() -> None:
    text = GrowingText("p")
    text.add("a" * MAX_BODY_BYTES)
    with pytest.raises(MalformedAnswer):
        text.add("a")
    assert len(text.take()) == MAX_BODY_BYTES
    assert text.take() == ""


def test_an_answer_has_a_bound_of_objects_and_lists() -> None:
    many = b'{"x":[' + b"{}," * MAX_CONTAINERS + b"0]}"
    with pytest.raises(MalformedAnswer):
        parse_json_object("p", many)
    numbers = b'{"x":[' + b"0.5," * MAX_CONTAINERS + b"0]}"
    assert len(parse_json_object("p", numbers)) == 1
