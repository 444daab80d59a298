import json
from collections.abc import Iterator
from typing import Any

import pytest
from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.openai.provider import OpenAiAdapter, build_openai_adapter
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query

KEY = "sk-very-secret"
CHUNKS: list[JsonObject] = [
    {"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]},
    {"id": "1", "choices": [{"index": 1, "delta": {"content": "é€"}, "finish_reason": None}]},
    {"id": "1", "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]},
    {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
    {"id": "1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
]
EVENTS = [b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in CHUNKS]
STREAM = b"".join(EVENTS) + b"data: [DONE]\n\n"


def build(task: str = "llm/v1/chat", **config: str) -> OpenAiAdapter:
    fields = {"openai_api_key_plaintext": KEY, **config}
    return build_openai_adapter(
        ExternalModel(
            name="gpt-4", provider="openai", task=task, openai_config=OpenAiConfig(**fields)
        )
    )


def url(task: str = "llm/v1/chat", **config: str) -> str:
    return build(task, **config).plan(Query({}, stream=False), {}).requests[0].url


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", "https://api.openai.com/v1/chat/completions"),
        ("http://host:8000", "http://host:8000/v1/chat/completions"),
        ("http://host:8000/", "http://host:8000/v1/chat/completions"),
        ("http://host:8000/v1", "http://host:8000/v1/chat/completions"),
        ("http://host:8000/v1/", "http://host:8000/v1/chat/completions"),
        ("https://host/api/v3", "https://host/api/v3/chat/completions"),
        ("https://host/v1?tenant=a%2Fb", "https://host/v1/chat/completions?tenant=a%2Fb"),
        ("https://host?tenant=a", "https://host/v1/chat/completions?tenant=a"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
        (" https://host/v1 ", "https://host/v1/chat/completions"),
    ],
)
def test_the_base_url(base: str, expected: str) -> None:
    assert url(openai_api_base=base) == expected


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ("llm/v1/chat", "chat/completions"),
        ("llm/v1/completions", "completions"),
        ("llm/v1/embeddings", "embeddings"),
    ],
)
def test_each_task_has_its_route(task: str, path: str) -> None:
    assert url(task) == f"https://api.openai.com/v1/{path}"
    azure = {
        "openai_api_type": "Azure",
        "openai_api_base": "https://me.example.com/",
        "openai_api_version": "2023-05-15",
        "openai_deployment_name": "my deployment",
    }
    assert url(task, **azure) == (
        f"https://me.example.com/openai/deployments/my%20deployment/{path}?api-version=2023-05-15"
    )


def test_headers_and_model() -> None:
    adapter = build(openai_organization="org-1", openai_api_version="2024-01-01")
    request = adapter.plan(Query({"model": "endpoint", "n": 2}, stream=False), {}).requests[0]
    assert request.headers == {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "openai-organization": "org-1",
    }
    assert request.url.endswith("?api-version=2024-01-01")
    assert json.loads(request.body) == {"model": "gpt-4", "n": 2}


def test_how_to_call_tools_is_not_said_without_tools() -> None:
    idle: JsonObject = {"tool_choice": "auto", "parallel_tool_calls": False}
    plan = build().plan(Query({"n": 2, **idle}, stream=False), {})
    assert json.loads(plan.requests[0].body) == {"model": "gpt-4", "n": 2}
    assert plan.adapted == ("tool_choice=dropped", "parallel_tool_calls=dropped")
    plan = build().plan(Query({"tools": [{}], **idle}, stream=False), {})
    assert json.loads(plan.requests[0].body) == {"model": "gpt-4", "tools": [{}], **idle}
    assert plan.adapted == ()
    # What asks for a call is for the provider to refuse.
    plan = build().plan(Query({"tool_choice": "required"}, stream=False), {})
    assert json.loads(plan.requests[0].body) == {"model": "gpt-4", "tool_choice": "required"}


def test_azure_takes_its_key_in_a_header_and_no_model() -> None:
    adapter = build(
        openai_api_type="azure",
        openai_api_base="https://me.example.com",
        openai_api_version="2023-05-15",
        openai_deployment_name="d",
    )
    request = adapter.plan(Query({"model": "endpoint", "n": 2}, stream=False), {}).requests[0]
    assert request.headers == {"api-key": KEY, "content-type": "application/json"}
    assert json.loads(request.body) == {"n": 2}


def test_a_stream_asks_for_usage_and_leaves_the_query_alone() -> None:
    options: JsonObject = {"stream": True, "stream_options": {"x": 1, "include_usage": False}}
    body = build().plan(Query(options, stream=True), {}).requests[0].body
    assert json.loads(body)["stream_options"] == {"x": 1, "include_usage": True}
    assert options["stream_options"] == {"x": 1, "include_usage": False}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"openai_api_key_plaintext": ""}, "openai_api_key"),
        ({"openai_api_key_plaintext": "sk\r\nx: y"}, "openai_api_key"),
        ({"openai_api_key_plaintext": "sk-é"}, "openai_api_key"),
        ({"openai_api_type": "azuread"}, "azuread"),
        ({"openai_api_type": "azure"}, "openai_api_base"),
        ({"openai_api_base": "ftp://host"}, "openai_api_base"),
        ({"openai_api_base": "http://"}, "openai_api_base"),
        ({"openai_api_base": "http://host:99999"}, "openai_api_base"),
        ({"openai_api_base": "http://[::1"}, "openai_api_base"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(config: dict[str, str], words: str) -> None:
    with pytest.raises(errors.ConfigRefused, match=words) as caught:
        build(**config)
    assert KEY not in str(caught.value)


def test_a_task_it_does_not_have() -> None:
    with pytest.raises(errors.ConfigRefused, match="llm/v1/paint"):
        build("llm/v1/paint")


def parse(*parts: bytes) -> Iterator[Any]:
    parser = build().stream_parser(Query({}, stream=True))
    for part in parts:
        yield from parser.feed(part)
    yield from parser.finish()


@pytest.mark.parametrize("index", range(len(STREAM) + 1))
def test_a_stream_split_anywhere_gives_the_same_chunks(index: int) -> None:
    assert list(parse(STREAM[:index], STREAM[index:])) == CHUNKS


def test_a_stream_byte_by_byte() -> None:
    assert list(parse(*(bytes([byte]) for byte in STREAM))) == CHUNKS


@pytest.mark.parametrize("count", range(4))
def test_a_stream_cut_before_all_choices_finished_is_truncated(count: int) -> None:
    chunks = parse(b"".join(EVENTS[:count]))
    with pytest.raises(errors.StreamTruncated):
        list(chunks)


@pytest.mark.parametrize("count", [4, 5])
def test_a_missing_end_marker_is_tolerated_when_all_choices_finished(count: int) -> None:
    assert list(parse(b"".join(EVENTS[:count]))) == CHUNKS[:count]


def test_what_follows_the_end_marker_is_ignored() -> None:
    assert list(parse(STREAM, EVENTS[0], b"data: junk\n\n")) == CHUNKS


@pytest.mark.parametrize("places", [(0,), (1,), (0, 1, 2), (2,)])
def test_usage_stays_in_whichever_chunk_has_it(places: tuple[int, ...]) -> None:
    chunks: list[JsonObject] = [
        {"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": None},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": []},
    ]
    for count, place in enumerate(places, 1):
        chunks[place]["usage"] = {"prompt_tokens": 7, "completion_tokens": count}
    parser = build().stream_parser(Query({}, stream=True))
    lines = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks]
    assert [*parser.feed(b"".join(lines)), *parser.finish()] == chunks
    assert parser.usage is None


def test_odd_chunks_pass() -> None:
    odd = b'data: {"choices":[],"x":[]}\n\ndata: {"choices":["x",{"index":"a"}]}\n\n'
    assert len(list(parse(odd, STREAM))) == len(CHUNKS) + 2


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'{"error":{"message":"no","code":429}}', errors.RateLimited),
        (b'{"error":{"message":"no","code":"insufficient_quota"}}', errors.QuotaExhausted),
        (b'{"error":"no"}', errors.ProviderFailed),
        (b"{", errors.MalformedAnswer),
        (b"[]", errors.MalformedAnswer),
    ],
)
def test_an_error_in_a_stream_follows_the_chunks_before_it(
    event: bytes, expected: type[Exception]
) -> None:
    chunks = parse(EVENTS[0] + b"data: " + event + b"\n\n")
    assert next(chunks) == CHUNKS[0]
    with pytest.raises(expected):
        next(chunks)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<html>", errors.MalformedAnswer),
        (b"", errors.MalformedAnswer),
        (b"[]", errors.MalformedAnswer),
        (b'{"error":{"code":503}}', errors.ProviderUnavailable),
        (b'{"error":{"code":7}}', errors.ProviderFailed),
    ],
)
def test_what_is_no_answer(body: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        build().parse_answers(Query({}, stream=False), (HttpAnswer(200, {}, body),))


def test_an_answer_passes_unchanged() -> None:
    answer = {"id": "x", "system_fingerprint": "fp", "choices": [], "extra": {"a": 1}}
    assert (
        build().parse_answers(
            Query({}, stream=False), (HttpAnswer(200, {}, json.dumps(answer).encode()),)
        )
        == answer
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error":{"message":"m"}}', {"error": {"message": "m"}}),
        (b"upstream connect error", "upstream connect error"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", "HTTP status 500 with an empty body"),
    ],
)
def test_an_error_keeps_what_was_said(body: bytes, detail: object) -> None:
    assert build().parse_error(HttpAnswer(500, {}, body)).detail == detail


def test_nothing_shows_the_key() -> None:
    adapter = build()
    request = adapter.plan(Query({}, stream=False), {}).requests[0]
    assert KEY not in repr(adapter) + repr(request) + repr(
        adapter.stream_parser(Query({}, stream=True))
    )
