"""Completions with models that only chat."""

import json
from typing import Any

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Plan, Query
from tests.adapters.providers.anthropic.test_provider import MODEL, build, message
from tests.emulators.anthropic import schema, stream

TASK = "llm/v1/completions"
QUERY = Query({"prompt": "what is databricks"}, stream=True)
USAGE = {"input_tokens": 9, "output_tokens": 7}


def plan(body: JsonObject, model: str = MODEL, *, stream: bool = False) -> Plan:
    return build(model, TASK).plan(Query(body, stream), {})


@pytest.mark.parametrize(
    ("model", "legacy"),
    [
        ("claude-2", True),
        ("claude-2.1", True),
        ("claude-v1", True),
        ("claude-v1.3-100k", True),
        ("claude-1", True),
        ("claude-instant-1.2", True),
        ("claude-instant-v1", True),
        ("claude-3-haiku-20240307", False),
        ("claude-3-5-sonnet-20240620", False),
        ("claude-sonnet-4-5", False),
        ("claude-opus-4-1-20250805", False),
        ("claude-20-opus", False),
        ("something-new", False),
    ],
)
def test_only_old_models_have_the_legacy_api(model: str, *, legacy: bool) -> None:
    (request,) = plan({"prompt": "a"}, model).requests
    assert request.url.endswith("/v1/complete" if legacy else "/v1/messages")


@pytest.mark.parametrize("stream", [False, True])
def test_the_request(*, stream: bool) -> None:
    body: JsonObject = {
        "model": "endpoint",
        "prompt": ["what is databricks"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "max_tokens": 5,
        "stop": "END",
        "user": "u",
        "n": 1,
        "best_of": 1,
        "echo": False,
        "suffix": None,
    }
    planned = plan(body, stream=stream)
    wire = json.loads(planned.requests[0].body)
    assert wire == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "what is databricks"}],
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        **({"stream": True} if stream else {}),
    }
    schema.check_messages_body(wire, sampling=True)
    assert planned.adapted == ()


def test_what_is_changed_is_named() -> None:
    planned = plan({"prompt": "a", "temperature": 2, "seed": 7})
    assert planned.adapted == (
        "temperature=clamped",
        "max_tokens=defaulted to 4096",
        "seed=dropped",
    )


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"n": 2}, "'n'"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)
def test_what_cannot_be_put_is_refused_by_name(more: JsonObject, word: str) -> None:
    with pytest.raises(errors.RequestRefused) as refused:
        plan({"prompt": "p", **more})
    assert word in str(refused.value.detail)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", {"finish_reason": "stop"}),
        ("max_tokens", {"finish_reason": "length"}),
        ("new", {"finish_reason": "stop", "provider_finish_reason": "new"}),
    ],
)
def test_the_answer_is_a_completion(reason: str, finish: JsonObject) -> None:
    said = message([{"type": "text", "text": "It is é€ a company."}], reason)
    said["stop_sequence"] = None
    said["usage"] = {**USAGE, "output_tokens_details": {"thinking_tokens": 0}}
    adapter = build(task=TASK)
    answer: Any = adapter.parse_answers(QUERY, (HttpAnswer(200, {}, json.dumps(said).encode()),))
    assert answer == {
        "id": said["id"],
        "object": "text_completion",
        "created": 1700000000,
        "choices": [{"index": 0, "text": "It is é€ a company.", "logprobs": None, **finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
    }
    parser = adapter.stream_parser(QUERY)
    chunks: list[Any] = list(parser.feed(b"".join(stream.message_events(said))))
    assert not list(parser.finish())
    *texts, last, usage = chunks
    assert "".join(chunk["choices"][0]["text"] for chunk in texts) == "It is é€ a company."
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, **finish}]
    assert (usage["choices"], usage["usage"]) == ([], answer["usage"])
    assert {(chunk["id"], chunk["object"]) for chunk in chunks} == {(said["id"], "text_completion")}


def test_an_error_with_status_200() -> None:
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}
    with pytest.raises(errors.ProviderUnavailable):
        build(task=TASK).parse_answers(QUERY, (HttpAnswer(200, {}, json.dumps(said).encode()),))
