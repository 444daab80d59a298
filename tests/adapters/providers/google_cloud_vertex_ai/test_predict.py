"""PaLM's models and embedding models: `predict`."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from modelplane.adapters.providers.types import HttpAnswer, Query
from tests.emulators.google_cloud_vertex_ai.embed_content import MODELS, embed_content
from tests.emulators.google_cloud_vertex_ai.external_models import external_model
from tests.emulators.google_cloud_vertex_ai.gemini_answers import tokens_of
from tests.emulators.google_cloud_vertex_ai.predict import MOST_TOKENS, predict, vector


def adapter_of(model: str, task: str) -> Adapter:
    return build_vertex_adapter(external_model(model, f"llm/v1/{task}"), lambda: 5.0)


def sent(model: str, task: str, **body: object) -> list[dict[str, Any]]:
    plan = adapter_of(model, task).plan(Query(dict(body), stream=False), {})
    return [json.loads(request.body) for request in plan.requests]


def answered(model: str, task: str, **body: object) -> dict[str, Any]:
    """Return the canonical answer to what the emulator says to the requests."""
    say = embed_content if model in MODELS else predict
    answers = [say(one, model) for one in sent(model, task, **body)]
    return parsed(model, task, *answers, **body)


def parsed(model: str, task: str, *answers: object, **body: object) -> dict[str, Any]:
    received = [HttpAnswer(200, {}, json.dumps(one).encode()) for one in answers]
    return adapter_of(model, task).parse_answers(Query(dict(body), stream=False), received)


CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
    {"role": "user", "content": "d"},
]


def test_a_chat() -> None:
    rest: dict[str, Any] = {
        "messages": CHAT,
        "max_tokens": 9,
        "temperature": 0,
        "top_k": 3,
        "n": 2,
        "stop": "x",
        "examples": [],
    }
    assert sent("chat-bison", "chat", **rest) == [
        {
            "instances": [
                {
                    "context": "be brief",
                    "examples": [],
                    "messages": [
                        {"author": "user", "content": "a"},
                        {"author": "bot", "content": "b"},
                        {"author": "user", "content": "c\nd"},
                    ],
                }
            ],
            "parameters": {
                "temperature": 0,
                "maxOutputTokens": 9,
                "topK": 3,
                "candidateCount": 2,
                "stopSequences": ["x"],
            },
        }
    ]
    answer = answered("chat-bison", "chat", **rest)
    assert answer["id"].startswith("vertex-")
    assert answer["created"] == 5
    assert [choice["message"]["content"] for choice in answer["choices"]] == [
        "chat-bison heard: c\nd",
        "chat-bison heard: c\nd (1)",
    ]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "stop"]
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13}


def test_a_completion_for_each_prompt() -> None:
    rest = {"prompt": ["a b", "c"], "n": 2, "user": "me"}
    assert sent("text-bison", "completions", **rest) == [
        {"instances": [{"prompt": "a b"}], "parameters": {"candidateCount": 2}},
        {"instances": [{"prompt": "c"}], "parameters": {"candidateCount": 2}},
    ]
    answer = answered("text-bison", "completions", **rest)
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (0, "text-bison heard: a b"),
        (1, "text-bison heard: a b (1)"),
        (2, "text-bison heard: c"),
        (3, "text-bison heard: c (1)"),
    ]
    assert answer["usage"]["prompt_tokens"] == 3


def test_code_is_completed_between_prefix_and_suffix() -> None:
    assert sent("code-bison", "completions", prompt="a", suffix="b") == [
        {"instances": [{"prefix": "a", "suffix": "b"}]}
    ]
    answer = answered("code-bison", "completions", prompt="a", suffix="b")
    assert answer["choices"][0]["text"] == "code-bison heard: a"


def test_what_was_withheld_is_filtered_content() -> None:
    chat = answered("chat-bison", "chat", messages=[{"role": "user", "content": "UNSAFE"}])
    assert chat["choices"][0]["finish_reason"] == "content_filter"
    text = answered("text-bison", "completions", prompt="UNSAFE")
    assert text["choices"][0]["finish_reason"] == "content_filter"


def test_usage_that_is_not_reported_is_estimated() -> None:
    answer = parsed(
        "text-bison", "completions", {"predictions": [{"content": "x" * 7}]}, prompt="y"
    )
    assert answer["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 2,
        "total_tokens": 2,
        "estimated": True,
    }


@pytest.mark.parametrize(
    "rest",
    [
        {"tools": [{}]},
        {"response_format": {"type": "json_object"}},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "a"}}]}
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}
            ]
        },
    ],
)
def test_chats_that_palm_cannot_take(rest: dict[str, Any]) -> None:
    with pytest.raises(errors.RequestRefused):
        sent("chat-bison", "chat", **{"messages": CHAT, **rest})


def test_completions_that_palm_cannot_take() -> None:
    with pytest.raises(errors.RequestRefused):
        sent("text-bison", "completions", prompt="x", suffix="y")
    with pytest.raises(errors.RequestRefused):
        sent("text-bison", "completions", prompt=[[1]])


@pytest.mark.parametrize(
    ("model", "task", "body"),
    [
        ("chat-bison", "chat", {"messages": CHAT}),
        ("text-bison", "completions", {"prompt": "x"}),
        ("textembedding-gecko", "embeddings", {"input": "x"}),
    ],
)
def test_there_are_no_streams(model: str, task: str, body: dict[str, Any]) -> None:
    adapter = adapter_of(model, task)
    with pytest.raises(errors.RequestRefused, match="RequestRefused"):
        adapter.stream_parser(Query(body, stream=True))


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("textembedding-gecko@003", 5),
        ("gemini-embedding-001", 1),
        ("gemini-embedding-2", 1),
        ("text-embedding-005", 250),
    ],
)
def test_texts_are_split_over_requests_and_stay_in_order(model: str, limit: int) -> None:
    for count in (1, limit, limit + 1, 3 * limit):
        texts = [f"text {index}" for index in range(count)]
        sizes = [len(body.get("instances", [0])) for body in sent(model, "embeddings", input=texts)]
        assert sum(sizes) == count
        assert max(sizes) <= limit
        assert len(sizes) == -(-count // limit)
        answer = answered(model, "embeddings", input=texts)
        assert [one["embedding"] for one in answer["data"]] == [
            vector(text, model) for text in texts
        ]
        assert [one["index"] for one in answer["data"]] == list(range(count))
        assert answer["usage"] == {"prompt_tokens": 2 * count, "total_tokens": 2 * count}


@given(
    texts=st.lists(
        st.builds(
            lambda word, count: word * count,
            st.sampled_from(["a ", "word ", "1", "x y", "ñ", "語", "語 ", "🙂"]),
            st.sampled_from([1, 10, 900, 9_000, 19_990, 20_100]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_request_holds_more_tokens_than_it_may(texts: list[str]) -> None:
    batches = [
        [instance["content"] for instance in body["instances"]]
        for body in sent("text-embedding-005", "embeddings", input=texts)
    ]
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        words = sum(len(tokens_of(text)) for text in batch)
        assert len(batch) == 1 or words <= MOST_TOKENS


def test_long_texts_are_split_over_requests_and_stay_in_order() -> None:
    model = "text-embedding-005"
    texts = [f"{index} " + "word " * 3000 for index in range(20)]
    assert len(sent(model, "embeddings", input=texts)) == 10
    answer = answered(model, "embeddings", input=texts)
    assert [one["embedding"] for one in answer["data"]] == [vector(text, model) for text in texts]


def test_short_texts_are_not_split() -> None:
    texts = ["a text of some forty letters, as they are"] * 250
    assert len(sent("text-embedding-005", "embeddings", input=texts)) == 1


def test_parameters_of_content_to_embed() -> None:
    rest = {"task_type": "RETRIEVAL_DOCUMENT", "title": "t", "dimensions": 3, "auto_truncate": True}
    config = {
        "taskType": "RETRIEVAL_DOCUMENT",
        "title": "t",
        "outputDimensionality": 3,
        "autoTruncate": True,
    }
    bodies = sent("gemini-embedding-2", "embeddings", input=["a", "b"], user="me", **rest)
    assert bodies == [
        {"content": {"role": "user", "parts": [{"text": text}]}, "embedContentConfig": config}
        for text in "ab"
    ]
    answer = answered("gemini-embedding-2", "embeddings", input=["a", "b"], **rest)
    assert [one["embedding"] for one in answer["data"]] == [
        vector(text, "gemini-embedding-2", 3) for text in "ab"
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_parameters_of_embeddings() -> None:
    rest = {"task_type": "RETRIEVAL_DOCUMENT", "title": "t", "dimensions": 3, "auto_truncate": True}
    assert sent("text-embedding-005", "embeddings", input=["a", "b"], user="me", **rest) == [
        {
            "instances": [
                {"content": text, "task_type": "RETRIEVAL_DOCUMENT", "title": "t"} for text in "ab"
            ],
            "parameters": {"outputDimensionality": 3, "autoTruncate": True},
        }
    ]
    plan = adapter_of("text-embedding-005", "embeddings").plan(
        Query({"input": "a", "user": "me", "encoding_format": "base64"}, stream=False), {}
    )
    assert plan.adapted == ("user=dropped", "encoding_format=emulated")


def test_base64_is_little_endian_single_precision() -> None:
    model = "text-embedding-005"
    answer = answered(model, "embeddings", input="a", encoding_format="base64")
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(packed) // 4}f", packed)) == vector("a", model)


def test_embeddings_without_statistics_are_estimated() -> None:
    predictions = [{"embeddings": {"values": [1, 2.5]}}]
    answer = parsed("text-embedding-005", "embeddings", {"predictions": predictions}, input="y" * 7)
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2, "estimated": True}
    assert answer["data"][0]["embedding"] == [1, 2.5]


@pytest.mark.parametrize(
    "body", [{"input": [1, 2]}, {"input": []}, {"input": "a", "encoding_format": "int8"}]
)
def test_inputs_that_cannot_be_embedded(body: dict[str, Any]) -> None:
    with pytest.raises(errors.RequestRefused):
        sent("text-embedding-005", "embeddings", **body)


@pytest.mark.parametrize("values", [None, "x", ["x"], [True], [1e39]])
def test_an_embedding_that_is_none(values: object) -> None:
    answer = {"predictions": [{"embeddings": {"values": values}}]}
    with pytest.raises(errors.MalformedAnswer):
        parsed("text-embedding-005", "embeddings", answer, input="a", encoding_format="base64")
    with pytest.raises(errors.MalformedAnswer):
        content = {"embedding": {"values": values}}
        parsed("gemini-embedding-2", "embeddings", content, input="a", encoding_format="base64")


@pytest.mark.parametrize(
    ("model", "task", "body"),
    [
        ("chat-bison", "chat", {"messages": CHAT}),
        ("text-bison", "completions", {"prompt": "x"}),
        ("textembedding-gecko", "embeddings", {"input": "x"}),
        ("gemini-embedding-2", "embeddings", {"input": "x"}),
    ],
)
@pytest.mark.parametrize("answer", [{}, {"predictions": []}, {"predictions": {}, "embedding": 1}])
def test_what_is_no_answer(model: str, task: str, body: dict[str, Any], answer: object) -> None:
    with pytest.raises(errors.MalformedAnswer):
        parsed(model, task, answer, **body)
