import json
from typing import Any

import orjson
import pytest

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.upstreams.streaming import ChunkShaper, encode_answer


def shape(
    *chunks: dict[str, Any], keep_usage: bool = False, task: str = "llm/v1/chat"
) -> list[Any]:
    shaper = ChunkShaper(task, keep_usage=keep_usage)
    return [chunk if shaper.shape(chunk) else None for chunk in chunks]


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


def test_usage_is_kept_or_dropped() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}

    def chunks() -> list[dict[str, Any]]:
        return [
            delta(content="a") | {"usage": None},
            delta(content="b") | {"usage": usage},
            {"choices": [], "usage": usage},
        ]

    first, second, last = shape(*chunks())
    assert "usage" not in first
    assert "usage" not in second
    assert last is None
    kept = shape(*chunks(), keep_usage=True)
    assert [chunk["usage"] for chunk in kept] == [None, usage, usage]


def test_the_last_usage_counts() -> None:
    shaper = ChunkShaper("llm/v1/chat", keep_usage=False)
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
