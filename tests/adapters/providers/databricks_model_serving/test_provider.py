"""What is peculiar to other deployments' endpoints; the conformance suite does the rest."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from modelserving.v1.external_model_pb2 import DatabricksModelServingConfig, ExternalModel

from modelplane.adapters.providers.databricks_model_serving.provider import (
    DatabricksAdapter,
    build_databricks_adapter,
)
from modelplane.adapters.providers.errors import ConfigRefused, MalformedAnswer, RateLimited
from modelplane.adapters.providers.types import HttpAnswer, Query

QUERY = Query({"messages": [], "usage_context": 1}, stream=False)
REASONING = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "think", "signature": "s"}],
}
PARTS = [REASONING, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def build(url: str = "https://w.example.com", **fields: str) -> DatabricksAdapter:
    given = {"task": "llm/v1/chat", "name": "their endpoint", "token": "dapi-secret"} | fields
    config = DatabricksModelServingConfig(
        databricks_workspace_url=url, databricks_api_token_plaintext=given["token"]
    )
    return build_databricks_adapter(
        ExternalModel(
            name=given["name"],
            provider="databricks-model-serving",
            task=given["task"],
            databricks_model_serving_config=config,
        )
    )


def answer(body: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    "url",
    ["https://w.example.com", "https://w.example.com/", "w.example.com", " w.example.com/ "],
)
def test_the_workspace_is_spelled_in_many_ways(url: str) -> None:
    (request,) = build(url).plan(QUERY, {}).requests
    assert request.url == "https://w.example.com/serving-endpoints/their%20endpoint/invocations"
    assert request.headers["authorization"] == "Bearer dapi-secret"
    assert "model" not in json.loads(request.body)


@pytest.mark.parametrize("url", ["", "ftp://w", "https://", "https://w/ml/endpoints", "w:99999"])
def test_what_is_no_workspace_is_refused(url: str) -> None:
    with pytest.raises(ConfigRefused, match="databricks_workspace_url"):
        build(url)


def test_a_missing_token_and_an_unknown_task_are_refused() -> None:
    with pytest.raises(ConfigRefused, match="databricks_api_token"):
        build(token="")
    with pytest.raises(ConfigRefused, match="llm/v1/paint"):
        build(task="llm/v1/paint")


def test_typed_parts_become_texts() -> None:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": PARTS}}]}
    parsed: Any = build().parse_answers(QUERY, (answer(body),))
    message = parsed["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "ab", "reasoning_content": "think"}


def stream(*chunks: object) -> Iterator[Any]:
    parser = build().stream_parser(Query({}, stream=True))
    for chunk in chunks:
        yield from parser.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    yield from parser.feed(b"data: [DONE]\n\n")
    yield from parser.finish()


def test_typed_parts_of_deltas_become_texts() -> None:
    deltas = [{"content": [part]} for part in PARTS]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    parsed = [chunk["choices"][0]["delta"] for chunk in stream(*chunks)]
    assert parsed == [
        {"content": "", "reasoning_content": "think"},
        {"content": "a"},
        {"content": "b"},
    ]


def test_the_documented_answer_without_completion_tokens() -> None:
    message = {"role": "human", "content": "Hello there"}
    usage = {"prompt_tokens": 8, "total_tokens": 11}
    body = {"model": "m", "choices": [{"index": 0, "message": message}], "usage": usage}
    parsed: Any = build().parse_answers(QUERY, (answer(body),))
    assert parsed["usage"] == usage | {"completion_tokens": 3}
    assert parsed["choices"][0]["message"] == message


def test_predictions_are_no_answer() -> None:
    with pytest.raises(MalformedAnswer) as caught:
        build().parse_answers(QUERY, (answer({"predictions": [1]}),))
    assert "custom model" in str(caught.value.detail)


def test_an_error_keeps_code_and_message() -> None:
    body = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": '{"a": 1}'}
    error = build().parse_error(answer(body, 429))
    assert isinstance(error, RateLimited)
    assert error.detail == body
