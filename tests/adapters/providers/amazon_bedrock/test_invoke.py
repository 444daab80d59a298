"""Bedrock's completions and embeddings: each family's format, and counts from anywhere."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.amazon_bedrock.adapter import BedrockAdapter
from modelplane.adapters.providers.amazon_bedrock.models import build_model_id
from modelplane.adapters.providers.amazon_bedrock.provider import build_amazon_bedrock_adapter
from modelplane.adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    RateLimited,
    RequestRefused,
    StreamTruncated,
)
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.conformance import read_choices, reassemble
from tests.emulators.amazon_bedrock import frames, invoke
from tests.emulators.amazon_bedrock.configs import external_model
from tests.emulators.amazon_bedrock.models import find

NOW = 1_700_000_000.5
LLAMA_3 = "llama3-8b-instruct-v1:0"
STREAMING = [
    ("claude-v2", "anthropic"),
    ("claude-3-haiku-20240307-v1:0", "anthropic"),
    ("command-text-v14", "cohere"),
    ("titan-text-express-v1", "amazon"),
    (LLAMA_3, "meta"),
]
WHOLE_ONLY = [("j2-mid", "ai21labs")]


def adapter(name: str, family: str, task: str = "completions") -> BedrockAdapter:
    return build_amazon_bedrock_adapter(external_model(name, family, task), lambda: NOW)


def sent(
    name: str, family: str, *, task: str = "completions", stream: bool = False, **body: object
) -> tuple[list[Any], tuple[str, ...]]:
    """Return the bodies that are sent, checked as Bedrock would, and what was adapted."""
    plan = adapter(name, family, task).plan(Query(body, stream), {})
    model_id = build_model_id(name, family)
    documents = [json.loads(request.body) for request in plan.requests]
    for request, document in zip(plan.requests, documents, strict=True):
        operation = "invoke-with-response-stream" if stream else "invoke"
        assert request.url.endswith(f"/{operation}")
        invoke.check(model_id, find(model_id), document, stream=stream)
    return documents, plan.adapted


@pytest.mark.parametrize(
    ("name", "family", "expected", "adapted"),
    [
        (
            "claude-v2",
            "anthropic",
            {
                "prompt": "\n\nHuman: Hi\n\nAssistant:",
                "max_tokens_to_sample": 5,
                "temperature": 0,
                "stop_sequences": ["END"],
            },
            (),
        ),
        (
            "claude-3-haiku-20240307-v1:0",
            "anthropic",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "messages": [{"role": "user", "content": "Hi"}],
                "max_tokens": 5,
                "temperature": 0,
                "stop_sequences": ["END"],
            },
            (),
        ),
        (
            "command-text-v14",
            "cohere",
            {"prompt": "Hi", "max_tokens": 5, "temperature": 0, "stop_sequences": ["END"]},
            (),
        ),
        (
            "j2-mid",
            "ai21labs",
            {"prompt": "Hi", "maxTokens": 5, "temperature": 0, "stopSequences": ["END"]},
            (),
        ),
    ],
)
def test_a_completion_is_put_exactly_so(
    name: str, family: str, expected: JsonObject, adapted: tuple[str, ...]
) -> None:
    body: dict[str, Any] = {"max_tokens": 5, "temperature": 0, "stop": "END"}
    documents, found = sent(name, family, prompt="Hi", **body)
    assert documents == [expected]
    assert found == adapted


def test_titan_is_asked_exactly_so() -> None:
    documents, adapted = sent(
        "titan-text-express-v1",
        "amazon",
        prompt=["a", "b"],
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        stop=["|"],
        user="u",
    )
    config = {"maxTokenCount": 5, "temperature": 0, "topP": 0.5, "stopSequences": ["|"]}
    assert documents == [{"inputText": text, "textGenerationConfig": config} for text in ("a", "b")]
    assert adapted == ("user=dropped",)


@pytest.mark.parametrize(("name", "family"), [STREAMING[1], *STREAMING[3:]])
def test_a_temperature_ends_at_one(name: str, family: str) -> None:
    documents, adapted = sent(name, family, prompt="Hi", max_tokens=5, temperature=1.5)
    (document,) = documents
    assert document.get("textGenerationConfig", document)["temperature"] == 1
    assert adapted == ("temperature=clamped",)


@pytest.mark.parametrize(
    ("name", "prompt", "expected"),
    [
        ("llama2-13b-chat-v1", "Hi", "<s>[INST] Hi [/INST]"),
        ("llama2-13b-chat-v1", "[INST] own [/INST]", "[INST] own [/INST]"),
        (
            LLAMA_3,
            "Hi",
            (
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
        ),
    ],
)
def test_llama_is_asked_in_its_template(name: str, prompt: str, expected: str) -> None:
    documents, _ = sent(name, "meta", prompt=prompt, max_tokens=7, top_p=0.9)
    assert documents == [{"prompt": expected, "max_gen_len": 7, "top_p": 0.9}]


@pytest.mark.parametrize(
    ("name", "family", "body"),
    [
        (LLAMA_3, "meta", {"stop": ["x"]}),
        (LLAMA_3, "meta", {"n": 2}),
        ("titan-text-express-v1", "amazon", {"echo": True}),
        ("titan-text-express-v1", "amazon", {"logprobs": 1}),
        ("claude-v2", "anthropic", {"n": 2}),
        ("claude-3-haiku-20240307-v1:0", "anthropic", {"suffix": "x"}),
        ("claude-3-haiku-20240307-v1:0", "anthropic", {"prompt": ["a", "b"]}),
        ("command-text-v14", "cohere", {"best_of": 2}),
        ("nova-lite-v1:0", "amazon", {"echo": True}),
        ("titan-text-express-v1", "amazon", {"prompt": [1, 2]}),
    ],
)
def test_what_a_family_does_not_have_is_refused(
    name: str, family: str, body: dict[str, Any]
) -> None:
    with pytest.raises(RequestRefused):
        adapter(name, family).plan(Query({"prompt": "a", **body}, stream=False), {})


@pytest.mark.parametrize(("name", "family"), WHOLE_ONLY)
def test_j2_does_not_stream(name: str, family: str) -> None:
    with pytest.raises(RequestRefused, match="RequestRefused") as refused:
        adapter(name, family).plan(Query({"prompt": "a"}, stream=True), {})
    assert "stream" in str(refused.value.detail)


def test_several_prompts_are_not_streamed() -> None:
    for name, family in STREAMING[2:]:
        with pytest.raises(RequestRefused):
            adapter(name, family).plan(Query({"prompt": ["a", "b"]}, stream=True), {})


def test_claude_gets_no_metadata_at_bedrock() -> None:
    for name in ("claude-v2", "claude-3-haiku-20240307-v1:0"):
        _, adapted = sent(name, "anthropic", prompt="a", max_tokens=3, user="u")
        assert adapted == ("user=dropped",)


def exchange(
    name: str, family: str, **body: object
) -> tuple[Any, list[JsonObject], list[bytes], invoke.Counts]:
    """Return a whole answer, the chunks and frames of the same as a stream, and its counts."""
    own = adapter(name, family)
    model_id = build_model_id(name, family)
    model = find(model_id)
    query = Query(body, stream=False)
    document = json.loads(own.plan(query, {}).requests[0].body)
    said, counts = invoke.answer(model_id, model, document)
    headers = {
        "x-amzn-bedrock-input-token-count": str(counts.prompt),
        "x-amzn-bedrock-output-token-count": str(counts.completion),
    }
    whole = own.parse_answers(query, [HttpAnswer(200, headers, json.dumps(said).encode())])
    framed = [frames.chunk(event) for event in invoke.events(model_id, model, document)]
    return whole, parsed(own, query, [b"".join(framed)]), framed, counts


def parsed(own: BedrockAdapter, query: Query, parts: list[bytes]) -> list[JsonObject]:
    parser = own.stream_parser(query)
    return [*(chunk for part in parts for chunk in parser.feed(part)), *parser.finish()]


@pytest.mark.parametrize(("name", "family"), STREAMING)
@pytest.mark.parametrize("limit", [3, 100])
def test_a_stream_adds_up_to_the_whole_answer(name: str, family: str, limit: int) -> None:
    whole, chunks, _, counts = exchange(name, family, prompt="a b c d", max_tokens=limit)
    assert whole["object"] == "text_completion"
    assert whole["id"]
    assert whole["created"] == int(NOW)
    assert reassemble(chunks) == read_choices(whole)
    assert whole["choices"][0]["finish_reason"] == ("length" if limit == 3 else "stop")
    assert chunks[-1]["usage"] == whole["usage"]
    assert whole["usage"]["prompt_tokens"] == counts.prompt
    assert whole["usage"]["completion_tokens"] == counts.completion
    assert "estimated" not in whole["usage"]
    assert {(chunk["id"], chunk["object"]) for chunk in chunks} == {
        (chunks[0]["id"], "text_completion")
    }


@pytest.mark.parametrize(("name", "family"), STREAMING)
def test_a_truncated_stream_is_an_error(name: str, family: str) -> None:
    query = Query({"prompt": "a b c"}, stream=True)
    _, _, framed, _ = exchange(name, family, prompt="a b c")
    for count in range(len(framed)):
        with pytest.raises(StreamTruncated):
            parsed(adapter(name, family), query, framed[:count])


@given(st.sampled_from(STREAMING), st.data())
def test_a_stream_may_be_split_anywhere(model: tuple[str, str], source: st.DataObject) -> None:
    query = Query({"prompt": "é b"}, stream=True)
    _, chunks, framed, _ = exchange(*model, prompt="é b")
    data = b"".join(framed)
    at = source.draw(st.integers(0, len(data)))
    again = parsed(adapter(*model), query, [data[:at], data[at:]])
    assert reassemble(again) == reassemble(chunks)
    assert again[-1]["usage"] == chunks[-1]["usage"]
    assert len(again) == len(chunks)


@pytest.mark.parametrize(("name", "family"), STREAMING)
def test_an_exception_inside_a_stream(name: str, family: str) -> None:
    _, _, framed, _ = exchange(name, family, prompt="a b c")
    said = [framed[0], frames.exception("throttlingException", {"message": "slow"})]
    with pytest.raises(RateLimited):
        parsed(adapter(name, family), Query({"prompt": "a b c"}, stream=True), said)


@pytest.mark.parametrize(("name", "family"), [*STREAMING, *WHOLE_ONLY])
@pytest.mark.parametrize("said", [b"{}", b"<html>", b"[]"])
def test_what_is_no_answer(name: str, family: str, said: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        adapter(name, family).parse_answers(
            Query({"prompt": "a"}, stream=False), [HttpAnswer(200, {}, said)]
        )


def test_a_chunk_that_is_no_base64() -> None:
    said = frames.event("chunk", {"bytes": "%"})
    with pytest.raises(MalformedAnswer):
        parsed(adapter(*STREAMING[0]), Query({"prompt": "a"}, stream=True), [said])


def test_without_any_count_usage_is_estimated() -> None:
    own = adapter("command-text-v14", "cohere")
    said = {"id": "x", "generations": [{"text": "four", "finish_reason": "COMPLETE"}]}
    answer: Any = own.parse_answers(
        Query({"prompt": "12345678"}, stream=False),
        [HttpAnswer(200, {}, json.dumps(said).encode())],
    )
    assert answer["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 1,
        "total_tokens": 3,
        "estimated": True,
    }


def test_several_prompts_are_one_answer() -> None:
    own = adapter("titan-text-express-v1", "amazon")
    said = [
        {
            "inputTextTokenCount": 2,
            "results": [{"tokenCount": 3, "outputText": text, "completionReason": reason}],
        }
        for text, reason in (("x", "FINISH"), ("y", "CONTENT_FILTERED"))
    ]
    answer: Any = own.parse_answers(
        Query({"prompt": ["a", "b"]}, stream=False),
        [HttpAnswer(200, {}, json.dumps(one).encode()) for one in said],
    )
    found = [(one["index"], one["text"], one["finish_reason"]) for one in answer["choices"]]
    assert found == [(0, "x", "stop"), (1, "y", "content_filter")]
    assert answer["usage"]["total_tokens"] == 10


@pytest.mark.parametrize(
    ("name", "family", "said"),
    [
        ("claude-v2", "anthropic", {"completion": "x", "stop_reason": "new"}),
        (
            "claude-3-haiku-20240307-v1:0",
            "anthropic",
            {"content": [{"type": "text", "text": "x"}], "stop_reason": "new"},
        ),
        (
            "command-text-v14",
            "cohere",
            {"generations": [{"text": "x", "finish_reason": "new"}]},
        ),
        (
            "titan-text-express-v1",
            "amazon",
            {"results": [{"outputText": "x", "completionReason": "new"}]},
        ),
        (LLAMA_3, "meta", {"generation": "x", "stop_reason": "new"}),
    ],
)
def test_an_unknown_finish_reason_is_kept(name: str, family: str, said: JsonObject) -> None:
    answer: Any = adapter(name, family).parse_answers(
        Query({"prompt": "a"}, stream=False), [HttpAnswer(200, {}, json.dumps(said).encode())]
    )
    assert answer["choices"] == [
        {
            "index": 0,
            "text": "x",
            "logprobs": None,
            "finish_reason": "stop",
            "provider_finish_reason": "new",
        }
    ]


def test_titan_embeds_one_text_for_each_request() -> None:
    documents, adapted = sent(
        "titan-embed-text-v2:0",
        "amazon",
        task="embeddings",
        input=["a", "b", "a"],
        dimensions=256,
        normalize=True,
    )
    assert documents == [
        {"inputText": text, "dimensions": 256, "normalize": True} for text in ("a", "b", "a")
    ]
    assert adapted == ()


@pytest.mark.parametrize("count", [1, 96, 97, 288])
def test_cohere_embeds_ninety_six_texts_for_each_request(count: int) -> None:
    texts = [f"t{index}" for index in range(count)]
    documents, _ = sent("embed-english-v3", "cohere", task="embeddings", input=texts)
    assert [text for document in documents for text in document["texts"]] == texts
    assert {document["input_type"] for document in documents} == {"search_document"}
    assert max(len(document["texts"]) for document in documents) <= 96


@pytest.mark.parametrize(
    ("name", "family", "size"),
    [("titan-embed-text-v1", "amazon", 1), ("embed-english-v3", "cohere", 96)],
)
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
@pytest.mark.parametrize("count", [1, 97])
def test_embeddings_keep_their_order(
    name: str, family: str, size: int, encoding: str | None, count: int
) -> None:
    own = adapter(name, family, "embeddings")
    model_id = build_model_id(name, family)
    texts = [f"text {index}" for index in range(count)]
    query = Query({"input": texts, "encoding_format": encoding}, stream=False)
    answers = []
    total = 0
    for request in own.plan(query, {}).requests:
        said, counts = invoke.answer(model_id, find(model_id), json.loads(request.body))
        said.pop("inputTextTokenCount", None)
        total += counts.prompt
        headers = {"x-amzn-bedrock-input-token-count": str(counts.prompt)}
        answers.append(HttpAnswer(200, headers, json.dumps(said).encode()))
    assert len(answers) == -(-count // size)
    whole: Any = own.parse_answers(query, answers)
    assert [one["index"] for one in whole["data"]] == list(range(count))
    assert whole["usage"] == {"prompt_tokens": total, "total_tokens": total}
    found = whole["data"][-1]["embedding"]
    if encoding == "base64":
        data = base64.b64decode(found)
        found = list(struct.unpack(f"<{len(data) // 4}f", data))
    last, _ = invoke.answer(
        model_id,
        find(model_id),
        {"inputText": texts[-1]}
        if size == 1
        else {"texts": [texts[-1]], "input_type": "search_document"},
    )
    assert found == (last["embedding"] if size == 1 else last["embeddings"][0])


def test_an_embedding_by_type() -> None:
    own = adapter("titan-embed-text-v2:0", "amazon", "embeddings")
    said = json.dumps({"embeddingsByType": {"binary": [1, 0]}}).encode()
    query = Query({"input": "12345678"}, stream=False)
    whole: Any = own.parse_answers(query, [HttpAnswer(200, {}, said)])
    assert whole["data"][0]["embedding"] == [1, 0]
    assert whole["usage"] == {"prompt_tokens": 2, "total_tokens": 2, "estimated": True}


@pytest.mark.parametrize(
    ("name", "family", "body"),
    [
        ("titan-embed-text-v1", "amazon", {"input": [1, 2]}),
        ("titan-embed-text-v1", "amazon", {"input": []}),
        ("titan-embed-text-v1", "amazon", {"input": "a", "encoding_format": "x"}),
        ("embed-english-v3", "cohere", {"input": [[1]]}),
    ],
)
def test_what_cannot_be_embedded_is_refused(name: str, family: str, body: dict[str, Any]) -> None:
    own = adapter(name, family, "embeddings")
    with pytest.raises(RequestRefused):
        own.plan(Query(body, stream=False), {})
    with pytest.raises(RequestRefused):
        own.stream_parser(Query(body, stream=True))


@pytest.mark.parametrize(
    ("name", "family"), [("titan-embed-text-v1", "amazon"), ("embed-english-v3", "cohere")]
)
def test_an_answer_without_an_embedding(name: str, family: str) -> None:
    own = adapter(name, family, "embeddings")
    with pytest.raises(AdapterError):
        own.parse_answers(Query({"input": "a"}, stream=False), [HttpAnswer(200, {}, b"{}")])
