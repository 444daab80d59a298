"""Cohere's completions and embeddings; its chat is in `test_provider.py`."""

import base64
import json
import struct
from typing import Any, get_type_hints

import pytest
from cohere.base_client import AsyncBaseCohere
from cohere.v2.client import AsyncV2Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.cohere.provider import CohereAdapter
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.cohere.test_provider import FAILURES, FINISH_REASONS, build
from tests.adapters.providers.conformance import open_gateway
from tests.adapters.providers.reassembly import Chunks, every_split, parse_stream, reassemble
from tests.emulators.cohere import answers, schema
from tests.emulators.cohere.cases import CASES

ASKED: JsonObject = {"prompt": "a b é"}


def completions() -> CohereAdapter:
    return build("llm/v1/completions", "command")


def embeddings(name: str = "embed-v4.0") -> CohereAdapter:
    return build("llm/v1/embeddings", name)


def plan(adapter: CohereAdapter, body: JsonObject, *, stream: bool = False) -> tuple[Any, Any]:
    planned = adapter.plan(Query(body, stream=stream), {})
    return [json.loads(request.body) for request in planned.requests], planned.adapted


def parse(adapter: CohereAdapter, body: JsonObject, *found: object) -> dict[str, Any]:
    raw = [HttpAnswer(200, {}, json.dumps(one).encode()) for one in found]
    parsed = adapter.parse_answers(Query(body, stream=False), raw)
    return json.loads(json.dumps(parsed))  # type: ignore[no-any-return]


def stream_chunks(*parts: bytes, body: JsonObject = ASKED) -> Chunks:
    chunks = parse_stream(completions().stream_parser(Query(body, stream=True)), parts)
    for chunk in chunks:
        # Cohere names no id before the end, so each stream has a random one.
        assert chunk.pop("id").startswith("cmpl-")
    return chunks


def check_against_the_sdk(method: object, sent: JsonObject) -> None:
    hints = get_type_hints(method, include_extras=True)
    for name, value in sent.items():
        if name != "stream":
            TypeAdapter(hints[name]).validate_python(value)


def test_a_completion_with_every_parameter() -> None:
    body: JsonObject = {
        "model": "endpoint",
        "prompt": ["one", "two"],
        "n": 2,
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0,
        "top_k": 3,
        "stop": [" x", ""],
        "logprobs": 2,
        "echo": False,
        "best_of": 1,
        "suffix": None,
        "user": "me",
        "truncate": "END",
    }
    shared = {
        "model": "command",
        "stream": False,
        "num_generations": 2,
        "max_tokens": 5,
        "temperature": 0,
        "p": 0.01,
        "k": 3,
        "end_sequences": [" x"],
        "return_likelihoods": "GENERATION",
        "truncate": "END",
    }
    sent, adapted = plan(completions(), body)
    assert sent == [shared | {"prompt": "one"}, shared | {"prompt": "two"}]
    assert adapted == ("top_p=clamped", "logprobs=without alternatives", "user=dropped")
    for one in sent:
        schema.check_generate(one)
        check_against_the_sdk(AsyncBaseCohere.generate, one)
    url = completions().plan(Query(ASKED, stream=False), {}).requests[0].url
    assert url == "https://api.cohere.com/v1/generate"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"echo": True}, "'echo'"),
        ({"suffix": "x"}, "'suffix'"),
        ({"best_of": 2}, "'best_of'"),
        ({"prompt": [1, 2]}, "tokens"),
        ({"prompt": []}, "at least one"),
    ],
)
def test_refused_completions(extra: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan(completions(), ASKED | extra)
    assert words in str(caught.value.detail)


def test_several_prompts_are_not_streamed_together() -> None:
    with pytest.raises(errors.RequestRefused):
        plan(completions(), {"prompt": ["a", "b"]}, stream=True)


def test_the_stop_text_is_left_out_of_a_completion() -> None:
    sent, _ = plan(completions(), ASKED | {"stop": " é"})
    found = parse(completions(), ASKED, answers.generate_answer(sent[0]))
    assert found["choices"][0]["text"] == " command continues: a b"


def test_completions_of_several_prompts() -> None:
    body: JsonObject = {"prompt": ["one", "two words"], "n": 2, "logprobs": 0}
    sent, adapted = plan(completions(), body)
    found = parse(completions(), body, *map(answers.generate_answer, sent))
    assert adapted == ()
    assert [(one["index"], one["text"]) for one in found["choices"]] == [
        (0, " command continues: one"),
        (1, " command continues: one (1)"),
        (2, " command continues: two words"),
        (3, " command continues: two words (1)"),
    ]
    assert found["choices"][0]["logprobs"] == {
        "tokens": [" command", " continues:", " one"],
        "token_logprobs": [-0.8, -1.1, -0.4],
        "top_logprobs": None,
        "text_offset": [0, 8, 19],
    }
    assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19}
    assert (found["object"], found["created"]) == ("text_completion", 1_700_000_000)


@pytest.mark.parametrize(("reason", "expected"), FINISH_REASONS)
def test_finish_reasons(reason: object, expected: JsonObject) -> None:
    answer = {"generations": [{"text": "x", "finish_reason": reason}]}
    assert expected.items() <= parse(completions(), ASKED, answer)["choices"][0].items()


@pytest.mark.parametrize(("reason", "expected"), FAILURES)
def test_a_failed_generation(reason: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        parse(completions(), ASKED, {"generations": [{"finish_reason": reason}]})
    line = {"event_type": "stream-error", "is_finished": True, "finish_reason": reason}
    with pytest.raises(expected) as caught:
        stream_chunks(json.dumps(line | {"err": "why"}).encode() + b"\n")
    assert isinstance(caught.value, errors.AdapterError)
    assert "why" in str(caught.value.detail)


def lines_of(body: JsonObject) -> tuple[list[bytes], dict[str, Any]]:
    sent, _ = plan(completions(), body, stream=True)
    schema.check_generate(sent[0])
    return answers.generate_lines(sent[0]), parse(
        completions(), body, answers.generate_answer(sent[0])
    )


def test_the_chunks_of_a_streamed_completion() -> None:
    lines, _ = lines_of({"prompt": "x"})
    shared = {"object": "text_completion", "created": 1_700_000_000}

    def chunk(text: str, reason: str | None = None) -> JsonObject:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return {**shared, "choices": [choice]}

    usage = {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5, "estimated": True}
    assert stream_chunks(*lines, body={"prompt": ""}) == [
        chunk(" command"),
        chunk(" continues:"),
        chunk(" x"),
        chunk("", "stop"),
        {**shared, "choices": [], "usage": usage},
    ]


def test_a_streamed_completion_may_count_tokens() -> None:
    meta = {"billed_units": {"input_tokens": 2, "output_tokens": 3}}
    line = {"is_finished": True, "finish_reason": "COMPLETE", "response": {"meta": meta}}
    usage = stream_chunks(json.dumps(line).encode())[-1]["usage"]
    assert usage == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_a_streamed_completion_split_anywhere() -> None:
    lines, _ = lines_of(ASKED)
    expected = stream_chunks(*lines)
    query = Query(ASKED, stream=True)
    for chunks in every_split(lambda: completions().stream_parser(query), b"".join(lines)):
        assert [chunk["choices"] for chunk in chunks] == [one["choices"] for one in expected]
        assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_streamed_completion_cut_anywhere_is_truncated() -> None:
    lines, _ = lines_of(ASKED | {"n": 2})
    whole = b"".join(lines)
    for count in range(len(lines)):
        with pytest.raises(errors.StreamTruncated):
            stream_chunks(*lines[:count])
    with pytest.raises(errors.AdapterError):
        stream_chunks(whole[:-5])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"message":"internal"}\n', errors.ProviderFailed),
        (b"<html>\n", errors.MalformedAnswer),
        (b"<html>", errors.StreamTruncated),
    ],
)
def test_an_error_in_a_streamed_completion(line: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        stream_chunks(line)


@given(prompt=st.text(min_size=1, max_size=30), count=st.integers(1, 3), limit=st.integers(1, 9))
def test_a_streamed_completion_adds_up(prompt: str, count: int, limit: int) -> None:
    body: JsonObject = {"prompt": prompt, "n": count, "max_tokens": limit}
    lines, whole = lines_of(body)
    parser = completions().stream_parser(Query(body, stream=True))
    found = reassemble(parse_stream(parser, lines))
    assert found["choices"] == whole["choices"]
    assert found["usage"]["estimated"]


@pytest.mark.parametrize("count", [1, 95, 96, 97, 288])
def test_embeddings_are_split_and_joined_in_order(count: int) -> None:
    texts = [f"text {index}" for index in range(count)]
    body: JsonObject = {"input": texts, "dimensions": 256, "user": "me"}
    sent, adapted = plan(embeddings(), body)
    assert [text for one in sent for text in one["texts"]] == texts
    assert adapted == ("user=dropped",)
    for one in sent:
        schema.check_embed(one)
        check_against_the_sdk(AsyncV2Client.embed, one)
    found = parse(embeddings(), body, *map(answers.embed_answer, sent))
    assert [one["index"] for one in found["data"]] == list(range(count))
    whole = answers.embed_answer({**sent[0], "texts": texts})
    assert [one["embedding"] for one in found["data"]] == whole["embeddings"]["float"]
    assert found["usage"] == {"prompt_tokens": 2 * count, "total_tokens": 2 * count}


def test_an_embedding_of_one_text() -> None:
    sent, _ = plan(embeddings("embed-english-v3.0"), {"input": "hi"})
    assert sent == [
        {
            "model": "embed-english-v3.0",
            "texts": ["hi"],
            "input_type": "search_document",
            "embedding_types": ["float"],
        }
    ]


def test_the_input_type_can_be_chosen() -> None:
    sent, _ = plan(embeddings(), {"input": "hi", "input_type": "search_query", "truncate": "END"})
    assert (sent[0]["input_type"], sent[0]["truncate"]) == ("search_query", "END")


def test_base64_is_little_endian_single_precision() -> None:
    body: JsonObject = {"input": "hi", "encoding_format": "base64"}
    sent, adapted = plan(embeddings(), body)
    assert adapted == ("encoding_format=emulated",)
    found = parse(embeddings(), body, answers.embed_answer(sent[0]))
    packed = base64.b64decode(found["data"][0]["embedding"])
    exact = answers.embed_answer(sent[0])["embeddings"]["float"][0]
    assert list(struct.unpack("<1536f", packed)) == exact
    native = answers.embed_answer({**sent[0], "embedding_types": ["base64"]})
    assert native["embeddings"]["base64"] == [found["data"][0]["embedding"]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": [1, 2]}, "tokens"),
        ({"input": [[1], [2]]}, "tokens"),
        ({"input": []}, "at least one"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_refused_embeddings(body: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan(embeddings(), body)
    assert words in str(caught.value.detail)


@pytest.mark.parametrize(
    ("vectors", "usage"),
    [
        ([[1, 2]], {"prompt_tokens": 1, "total_tokens": 1, "estimated": True}),
        ({"int8": [[1, 2]]}, {"prompt_tokens": 1, "total_tokens": 1, "estimated": True}),
    ],
)
def test_other_shapes_of_embeddings(vectors: object, usage: JsonObject) -> None:
    found = parse(embeddings(), {"input": "four"}, {"embeddings": vectors})
    assert found["data"] == [{"object": "embedding", "index": 0, "embedding": [1, 2]}]
    assert found["usage"] == usage


@pytest.mark.parametrize("vectors", [None, [], {}, {"float": []}, [[1], [2]], "x"])
def test_a_missing_embedding_is_noticed(vectors: object) -> None:
    with pytest.raises(errors.MalformedAnswer):
        parse(embeddings(), {"input": "x"}, {"embeddings": vectors})


def test_an_embedding_that_cannot_be_packed() -> None:
    body: JsonObject = {"input": "x", "encoding_format": "base64"}
    with pytest.raises(errors.MalformedAnswer):
        parse(embeddings(), body, {"embeddings": [["x"]]})


def test_embeddings_are_not_streamed() -> None:
    with pytest.raises(errors.RequestRefused):
        embeddings().stream_parser(Query({"input": "x"}, stream=True))


async def test_batches_over_http() -> None:
    texts = [f"text {index}" for index in range(200)]
    case = next(one for one in CASES if one.task == "llm/v1/embeddings")
    async with open_gateway(case) as gateway:
        answer = await gateway.ask(stream=False, input=texts, user="me")
        sent: list[Any] = list(gateway.emulator.requests)
    assert sorted(len(one.body["texts"]) for one in sent) == [8, 96, 96]
    assert {one.headers["host"] for one in sent} == {"api.cohere.com"}
    assert answer.metadata["x-modelplane-adapted-params"] == "user=dropped"
    found = [one["embedding"] for one in answer.document["data"]]
    whole = answers.embed_answer({**sent[0].body, "texts": texts})
    assert found == whole["embeddings"]["float"]
    assert answer.document["usage"] == {"prompt_tokens": 400, "total_tokens": 400}
