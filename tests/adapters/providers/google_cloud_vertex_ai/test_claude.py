"""What Vertex AI does differently with Claude; the translation itself is Anthropic's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, Image, Query
from tests.adapters.providers.conformance import read_choices, reassemble
from tests.emulators.anthropic.stream import message_events
from tests.emulators.google_cloud_vertex_ai import claude
from tests.emulators.google_cloud_vertex_ai.external_models import external_model

MODEL = "claude-3-5-sonnet@20240620"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def adapter_of() -> Adapter:
    return build_vertex_adapter(external_model(MODEL, "llm/v1/chat"), lambda: 5.0)


def query_of(text: object = "hi", *, stream: bool = False, **rest: object) -> Query:
    messages = [{"role": "user", "content": text}]
    return Query({"model": "endpoint", "messages": messages, **rest}, stream)


def request_of(query: Query, images: Mapping[str, Image] | None = None) -> HttpRequest:
    """Return the request, which the emulator accepts."""
    (request,) = adapter_of().plan(query, images or {}).requests
    claude.message(json.loads(request.body), MODEL, stream=query.stream)
    return request


@pytest.mark.parametrize("stream", [False, True])
def test_a_request(*, stream: bool) -> None:
    request = request_of(query_of(stream=stream, max_tokens=9))
    body = json.loads(request.body)
    assert body.pop("messages")[0]["role"] == "user"
    expected: dict[str, Any] = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9}
    assert body == expected | ({"stream": True} if stream else {})
    assert request.headers == {"content-type": "application/json"}
    verb = "streamRawPredict" if stream else "rawPredict"
    assert request.url.endswith(f"/publishers/anthropic/models/{MODEL}:{verb}")


def test_betas_are_named_in_a_header() -> None:
    adapter = adapter_of()
    (request,) = adapter.plan(query_of(anthropic_beta=["a", "b"]), {}).requests
    assert request.headers["anthropic-beta"] == "a,b"
    assert "anthropic_beta" not in json.loads(request.body)


def test_images_are_sent_inline() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    query = query_of([{"type": "text", "text": "look"}, part])
    assert adapter_of().image_urls(query) == ["https://x/a.png"]
    request = request_of(query, {"https://x/a.png": Image("image/png", b"img")})
    source = json.loads(request.body)["messages"][0]["content"][1]["source"]
    assert source == {"type": "base64", "media_type": "image/png", "data": "aW1n"}


@pytest.mark.parametrize("text", ["one two", "get_weather", "get_weather twice explain", "refuse"])
def test_a_stream_adds_up_to_the_whole_answer(text: str) -> None:
    query = query_of(text, tools=[WEATHER])
    message = claude.message(json.loads(request_of(query).body), MODEL, stream=False)
    adapter = adapter_of()
    answer = HttpAnswer(200, {}, json.dumps(message).encode())
    whole: Any = adapter.parse_answers(query, (answer,))
    assert whole["created"] == 5
    parser = adapter.stream_parser(query)
    *chunks, last = [chunk for event in message_events(message) for chunk in parser.feed(event)]
    assert parser.ended
    assert reassemble(chunks) == read_choices(whole)
    assert last["usage"] == whole["usage"]


ANTHROPICS = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
GOOGLES = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no"}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (529, ANTHROPICS, errors.ProviderUnavailable),
        (429, GOOGLES, errors.RateLimited),
        (403, {"error": {"details": [{"reason": "BILLING_DISABLED"}]}}, errors.QuotaExhausted),
        (404, "<html>", errors.ModelNotFound),
    ],
)
def test_errors_of_both_shapes(
    status: int, body: object, expected: type[errors.AdapterError]
) -> None:
    data = json.dumps(body).encode()
    assert type(adapter_of().parse_error(HttpAnswer(status, {}, data))) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [(ANTHROPICS, errors.ProviderUnavailable), (GOOGLES, errors.RateLimited)],
)
def test_errors_with_status_200(body: object, expected: type[errors.AdapterError]) -> None:
    data = json.dumps(body).encode()
    with pytest.raises(expected):
        adapter_of().parse_answers(query_of(), (HttpAnswer(200, {}, data),))
    parser = adapter_of().stream_parser(query_of(stream=True))
    with pytest.raises(expected):
        list(parser.feed(b"event: error\ndata: " + data + b"\n\n"))


def test_a_stream_that_breaks_off_is_truncated() -> None:
    query = query_of(stream=True)
    message = claude.message(json.loads(request_of(query).body), MODEL, stream=True)
    events = message_events(message)
    for count in range(len(events)):
        parser = adapter_of().stream_parser(query)
        for event in events[:count]:
            list(parser.feed(event))
        with pytest.raises(errors.StreamTruncated):
            list(parser.finish())
