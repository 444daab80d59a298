import json
from typing import Any

import orjson
import pytest

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.upstreams.streaming import ChunkShaper, encode_answer


def shape(
    *chunks: dict[str, Any], wanted: bool | None = None, task: str = "llm/v1/chat"
) -> list[Any]:
    shaper = ChunkShaper(task, wanted=wanted)
    shaped = [shaped for chunk in chunks for shaped in shaper.shape(chunk)]
    return [*shaped, *shaper.finish()]


def delta(index: int = 0, **fields: object) -> dict[str, Any]:
    return {"model": "gpt", "choices": [{"index": index, "delta": fields}]}


def test_each_choice_gets_its_role_once() -> None:
    chunks = shape(
        delta(0, content="a"),
        delta(0, role="assistant", content="b"),
        delta(1, role="assistant"),
        delta(1, role=None),
    )
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in chunks]
    assert roles == ["assistant", None, "assistant", None]


def test_chunks_without_deltas_pass() -> None:
    odd: list[dict[str, Any]] = [
        {"choices": [], "prompt_filter_results": [1]},
        {"choices": [{"index": 0, "content_filter_results": {}}]},
        {"choices": None},
        {"choices": ["x"]},
    ]
    assert shape(*[dict(chunk) for chunk in odd]) == odd


def test_a_completion_gets_no_role() -> None:
    [chunk] = shape({"choices": [{"index": 0, "text": "a"}]}, task="llm/v1/completions")
    assert chunk["choices"] == [{"index": 0, "text": "a"}]


USAGE = {"prompt_tokens": 1, "completion_tokens": 2}


def end(index: int = 0, **fields: object) -> dict[str, Any]:
    choice = {"index": index, "delta": {}, "finish_reason": "stop"}
    return {"model": "gpt", "choices": [choice], **fields}


def told() -> list[dict[str, Any]]:
    """Return a stream that tells its usage in a chunk of its own."""
    return [
        delta(content="a") | {"usage": None},
        end(usage=None),
        {"choices": [], "usage": USAGE},
    ]


def test_usage_is_kept_for_those_who_ask_for_it() -> None:
    assert [chunk["usage"] for chunk in shape(*told(), wanted=True)] == [None, None, USAGE]


def test_usage_is_dropped_for_those_who_want_none() -> None:
    chunks = shape(*told(), wanted=False)
    assert len(chunks) == 2
    assert not any("usage" in chunk for chunk in chunks)


@pytest.mark.parametrize(
    "chunks",
    [
        told(),
        [delta(content="a", usage=None), end(usage=USAGE)],
        # As some servers tell what was used so far.
        [
            delta(content="a") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}},
            end(usage=USAGE),
        ],
        [delta(content="a"), end(0), delta(1, content="b"), end(1), *told()[2:]],
        [delta(content="a"), end(), {"choices": [], "prompt_filter_results": [1]}, *told()[2:]],
    ],
)
def test_the_last_chunk_with_choices_tells_the_usage_to_those_who_say_nothing(
    chunks: list[dict[str, Any]],
) -> None:
    texts = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    shaped = shape(*chunks)
    assert [choice["delta"] for chunk in shaped for choice in chunk["choices"]] == texts
    with_choices = [chunk for chunk in shaped if chunk["choices"]]
    assert with_choices[-1]["usage"] == USAGE
    assert sum("usage" in chunk for chunk in shaped) == 1


def test_a_stream_whose_usage_is_not_told_ends_all_the_same() -> None:
    assert shape(delta(content="a"), end()) == [
        delta(content="a", role="assistant"),
        {**end(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]


def test_the_last_usage_counts() -> None:
    shaper = ChunkShaper("llm/v1/chat", wanted=None)
    for count in (1, 5):
        shaper.shape({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": True}})
    shaper.shape(delta(content="a"))
    assert shaper.usage == Usage(5, None)


def test_what_cannot_be_encoded_is_malformed() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(MalformedAnswer):
        encode_answer("openai", "endpoint", orjson.dumps, {"x": deep})


def test_the_caller_knows_the_model_by_the_name_of_the_endpoint() -> None:
    answer = {"model": "gpt-4", "choices": [delta(content="a")]}
    encoded = encode_answer("openai", "chat", orjson.dumps, dict(answer))
    assert json.loads(encoded) == {**answer, "model": "chat"}
