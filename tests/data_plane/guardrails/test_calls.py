"""Guardrails in the story of a call: what reaches the provider, and what its caller gets."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import Guardrails
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from prometheus_client import generate_latest

from modelplane.data_plane.guardrails.cleared import FEWEST_CHARACTERS, Cleared, digest_of
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.policy import compile_guardrails
from modelplane.data_plane.guardrails.verdict import Phase
from modelplane.data_plane.usage.encoding import Tokens, encode_outcome
from tests.data_plane.guardrails.pipeline import (
    Json,
    Pipeline,
    chat_answer,
    chat_chunks,
    vectors,
)

INVOCATIONS = "/serving-endpoints/chat/invocations"
COMPLETIONS = "/ai-gateway/mlflow/v1/chat/completions"
MASK = {"pii": {"behavior": "MASK"}}
BLOCK = {"pii": {"behavior": "BLOCK"}, "invalid_keywords": ["blue falcon"]}
MAIL = "john@example.com"
NOTHING_FOUND = {
    "flagged": False,
    "categories": None,
    "category_scores": None,
    "pii_detection": False,
    "anonymized_input": None,
}


@pytest.fixture
async def pipeline() -> Pipeline:
    made = Pipeline()
    made.provider.say(chat_answer({"content": "Fine."}))
    return made


def asking(content: object, **more: Any) -> Json:
    return {"model": "chat", "messages": [{"role": "user", "content": content}], **more}


async def test_a_blocked_request_is_told_as_the_mirrored_product_does(pipeline: Pipeline) -> None:
    pipeline.guard({"input": BLOCK})
    wire = await pipeline.post(INVOCATIONS, asking(f"Write to {MAIL}"))
    assert wire.status == 400
    assert wire.json["error_code"] == "BAD_REQUEST"
    assert json.loads(wire.json["message"]) == {
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "input_guardrail": [
            NOTHING_FOUND
            | {
                "pii_detection": True,
                "anonymized_input": [{"role": "user", "content": "Write to <EMAIL_ADDRESS>"}],
            }
        ],
        "finishReason": "input_guardrail_triggered",
    }
    assert not pipeline.provider.requests


async def test_a_long_request_is_refused_with_json_that_fits(pipeline: Pipeline) -> None:
    pipeline.guard({"input": BLOCK})
    wire = await pipeline.post(INVOCATIONS, asking(f"{MAIL} " * 5000))
    [item] = json.loads(wire.json["message"])["input_guardrail"]
    assert item["pii_detection"]
    assert item["anonymized_input"] is None


async def test_a_keyword_flags_a_request(pipeline: Pipeline) -> None:
    pipeline.guard({"input": {"invalid_keywords": ["blue falcon"]}})
    wire = await pipeline.post(INVOCATIONS, asking("the BLUE Falcons"))
    [item] = json.loads(wire.json["message"])["input_guardrail"]
    assert item == NOTHING_FOUND | {"flagged": True, "pii_detection": None}


async def test_an_answer_says_what_was_masked(pipeline: Pipeline) -> None:
    pipeline.guard({"input": MASK, "output": MASK})
    pipeline.provider.say(chat_answer({"content": f"Ask {MAIL}"}))
    wire = await pipeline.post(INVOCATIONS, asking("Whom?"))
    assert wire.json["choices"][0]["message"]["content"] == "Ask <EMAIL_ADDRESS>"
    assert wire.json["input_guardrail"] == [NOTHING_FOUND]
    assert wire.json["output_guardrail"] == [NOTHING_FOUND | {"pii_detection": True}]
    assert wire.json["usage"]["total_tokens"] == 14


async def test_a_blocked_answer_is_billed(pipeline: Pipeline) -> None:
    pipeline.guard({"output": BLOCK})
    pipeline.provider.say(chat_answer({"content": f"Ask {MAIL}"}))
    wire = await pipeline.post(INVOCATIONS, asking("Whom?"))
    told = json.loads(wire.json["message"])
    assert told["finishReason"] == "output_guardrail_triggered"
    assert told["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    [record] = pipeline.ledger.records
    assert (record.status, record.error) == (400, "GuardrailTriggered")
    assert record.usage is not None
    assert record.usage.input_tokens == 9
    # Nobody else is asked for an answer that may pass.
    assert len(pipeline.provider.requests) == 1
    assert [attempt.error for attempt in record.attempts] == [""]


async def test_what_was_found_is_recorded_and_nothing_of_it(pipeline: Pipeline) -> None:
    pipeline.guard({"input": MASK, "output": BLOCK})
    pipeline.provider.say(chat_answer({"content": f"Ask {MAIL} or call 415-555-2671"}))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    await pipeline.post(INVOCATIONS, asking([{"type": "text", "text": MAIL}, image]))
    [record] = pipeline.ledger.records
    encoded = encode_outcome(record, Tokens(9, 5, None, None, estimated=False), 1.0, ())
    found = UsageEntry.FromString(encoded).outcome.guardrail
    assert (found.action, found.policy, found.phase) == ("blocked", "pii", "output")
    assert found.entities == {"EMAIL_ADDRESS": 2, "PHONE_NUMBER": 1}
    assert found.unread_parts == 1
    assert found.check_us > 0
    assert MAIL.encode() not in encoded
    page = generate_latest(pipeline.registry).decode()
    assert 'modelplane_guardrail_checks_total{action="masked",phase="input"} 1.0' in page
    assert 'modelplane_guardrail_checks_total{action="blocked",phase="output"} 1.0' in page
    entity = '{entity="PHONE_NUMBER",phase="output"}'
    assert f"modelplane_guardrail_entities_total{entity} 1.0" in page
    assert 'modelplane_guardrail_seconds_total{phase="output"}' in page


async def test_a_history_that_is_sent_again_is_not_read_again(pipeline: Pipeline) -> None:
    pipeline.guard({"input": MASK})
    long = "It is as it was. " * 100
    history = [{"role": "user", "content": long}, {"role": "assistant", "content": long + MAIL}]
    found = []
    for said in ("Hi", f"Hi {MAIL}"):
        body = {"messages": [*history, {"role": "user", "content": said}]}
        await pipeline.post(INVOCATIONS, body)
        heard = pipeline.provider.heard["messages"]
        assert heard[0]["content"] == long
        # What is found is found each time.
        assert heard[1]["content"] == f"{long}<EMAIL_ADDRESS>"
        record = pipeline.ledger.records[-1]
        assert record.guard is not None
        found.append(record.guard.found[Phase.INPUT].entities.total())
    assert found == [1, 2]


def test_what_was_cleared_is_of_one_caller_and_one_rule() -> None:
    text, rules = "x" * FEWEST_CHARACTERS, (b"rules", "ann")
    cleared = Cleared(most=2)
    cleared.add(digest_of(text, "", *rules))
    assert cleared.knows(digest_of(text, "", *rules))
    for other in (
        digest_of(text, "account", *rules),
        digest_of(f"{text}y", "", *rules),
        digest_of(text, "", b"others", "ann"),
        digest_of(text, "", b"rules", "bob"),
    ):
        assert not cleared.knows(other)
        cleared.add(other)
    assert not cleared.knows(digest_of(text, "", *rules))


def test_a_text_that_was_cleared_is_not_read() -> None:
    settings = json_format.ParseDict({"input": MASK}, Guardrails())
    rules = compile_guardrails(settings)
    assert rules is not None
    cleared = Cleared()
    body = asking("Once more, " * 200)
    read = [
        sum(Guard(rules.rules(), caller, cleared).read_request(body))
        for caller in ("ann", "ann", "b")
    ]
    assert read == [2200, 0, 2200]


async def test_newer_routes_answer_what_is_blocked(pipeline: Pipeline) -> None:
    pipeline.guard({"input": BLOCK})
    wire = await pipeline.post(COMPLETIONS, asking(f"Write to {MAIL}"))
    assert wire.status == 200
    [choice] = wire.json["choices"]
    assert choice["finish_reason"] == "content_filter"
    reason = "This request was blocked by the 'pii' guardrail (1 EMAIL_ADDRESS)."
    assert choice["message"] == {"role": "assistant", "content": reason}
    assert wire.json["databricks_service_policy"] == {
        "name": "pii",
        "action": "deny",
        "phase": "pre_call",
        "reason": reason,
    }


async def test_a_stream_ends_where_something_is_found(pipeline: Pipeline) -> None:
    pipeline.guard({"output": BLOCK})
    pieces = ["Fine, ", "ask ", "john@", "example.com", " about", " it"]
    pipeline.provider.stream(chat_chunks([{"content": piece} for piece in pieces]))
    wire = await pipeline.post(INVOCATIONS, asking("Whom?", stream=True))
    *said, last = wire.events
    assert "".join(event["choices"][0]["delta"]["content"] for event in said) == "Fine, ask "
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    assert last["output_guardrail"] == [NOTHING_FOUND | {"pii_detection": True}]
    assert wire.text.endswith("data: [DONE]\n\n")


async def test_a_stream_of_which_nothing_has_left_is_refused(pipeline: Pipeline) -> None:
    pipeline.guard({"output": BLOCK})
    chunks = chat_chunks([{"content": f"{MAIL} "}])[1:]
    pipeline.provider.stream(chunks)
    wire = await pipeline.post(INVOCATIONS, asking("Whom?", stream=True))
    assert wire.status == 400
    assert json.loads(wire.json["message"])["finishReason"] == "output_guardrail_triggered"


async def test_a_stream_that_breaks_off_keeps_what_it_held(pipeline: Pipeline) -> None:
    pipeline.guard({"output": MASK})
    pipeline.provider.stream(chat_chunks([{"content": "Ask "}, {"content": "john@exam"}])[:3])
    pipeline.provider.parts.pop()
    wire = await pipeline.post(INVOCATIONS, asking("Whom?", stream=True))
    assert "Ask " in wire.text
    assert "john" not in wire.text
    assert "error" in wire.events[-1]


async def test_arguments_stay_json(pipeline: Pipeline) -> None:
    pipeline.guard({"output": MASK})
    given = {"to": MAIL, "card": 4111111111111111, MAIL: [1, None, "4111 1111 1111 1111"]}
    function = {"name": "send", "arguments": json.dumps(given)}
    call = {"index": 0, "id": "c1", "type": "function", "function": function}
    pipeline.provider.say(chat_answer({"tool_calls": [call]}, "tool_calls"))
    wire = await pipeline.post(INVOCATIONS, asking("Do it"))
    [told] = wire.json["choices"][0]["message"]["tool_calls"]
    assert told["id"] == "c1"
    assert json.loads(told["function"]["arguments"]) == {
        "to": "<EMAIL_ADDRESS>",
        "card": "<CREDIT_CARD>",
        "<EMAIL_ADDRESS>": [1, None, "<CREDIT_CARD>"],
    }


async def test_fields_that_nobody_listed_are_texts_too(pipeline: Pipeline) -> None:
    pipeline.guard({"input": BLOCK})
    wire = await pipeline.post(INVOCATIONS, asking("Hi", context=[{"note": f"for {MAIL}"}]))
    assert wire.status == 400
    pipeline.guard({"output": MASK})
    answer = chat_answer({"content": "Hi", "annotations": [{"title": MAIL}]})
    pipeline.provider.say(answer | {"citations": [f"by {MAIL}"]})
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert MAIL not in wire.text
    assert wire.json["citations"] == ["by <EMAIL_ADDRESS>"]
    # Of a stream they come in pieces that nobody could put together.
    pipeline.provider.stream(chat_chunks([{"audio": {"transcript": "john@"}}, {"content": "Hi"}]))
    wire = await pipeline.post(INVOCATIONS, asking("Hi", stream=True))
    assert "john" not in wire.text


@pytest.mark.parametrize("indexes", [(0, 1), (0, 0), (None, None)])
async def test_calls_are_told_apart(pipeline: Pipeline, indexes: tuple[int | None, ...]) -> None:
    pipeline.guard({"output": MASK})
    deltas = []
    for index, name in zip(indexes, ("one", "two"), strict=True):
        place: Json = {} if index is None else {"index": index}
        start: Json = {"id": name, "function": {"name": name, "arguments": ""}}
        pieces = [f'{{"to": "{name}@', 'example.com"}']
        told: list[Json] = [start, *({"function": {"arguments": piece}} for piece in pieces)]
        deltas += [{"tool_calls": [part | place]} for part in told]
    pipeline.provider.stream(chat_chunks(deltas, "tool_calls"))
    wire = await pipeline.post(INVOCATIONS, asking("Do it", stream=True))
    [calls] = [
        delta["tool_calls"]
        for event in wire.events
        for delta in [event["choices"][0]["delta"]]
        if "tool_calls" in delta
    ]
    masked = '{"to":"<EMAIL_ADDRESS>"}'
    assert [(call["id"], call["function"]) for call in calls] == [
        (name, {"name": name, "arguments": masked}) for name in ("one", "two")
    ]


async def test_probabilities_of_tokens_do_not_tell_them(pipeline: Pipeline) -> None:
    pipeline.guard({"output": MASK})
    answer = chat_answer({"content": MAIL})
    answer["choices"][0]["logprobs"] = {"content": [{"token": MAIL, "logprob": 0}]}
    pipeline.provider.say(answer)
    wire = await pipeline.post(INVOCATIONS, asking("Whom?"))
    assert wire.json["choices"][0]["logprobs"] is None


async def test_what_tools_are_declared_with_is_no_text_of_anybody(pipeline: Pipeline) -> None:
    pipeline.guard({"input": BLOCK})
    tool = {"type": "function", "function": {"name": "send", "description": f"like {MAIL}"}}
    wire = await pipeline.post(INVOCATIONS, asking("Do it", tools=[tool], user=MAIL))
    assert wire.status == 200


async def test_tokens_cannot_be_looked_through(pipeline: Pipeline) -> None:
    pipeline.guard({"input": MASK})
    pipeline.provider.say(vectors())
    path = "/serving-endpoints/embeddings"
    wire = await pipeline.post(path, {"model": "vector", "input": [[1, 2], [3]]})
    assert wire.status == 400
    assert "send texts" in wire.json["message"]
    pipeline.guard({"output": MASK})
    wire = await pipeline.post(path, {"model": "vector", "input": [1, 2]})
    assert wire.status == 200


async def test_an_endpoint_without_guardrails_is_left_alone(pipeline: Pipeline) -> None:
    pipeline.guard({"input": {"pii": {"behavior": "NONE"}, "invalid_keywords": []}})
    assert all(one.guardrails is None for one in pipeline.snapshots.current.names.values())
    pipeline.provider.say(chat_answer({"content": MAIL}))
    wire = await pipeline.post(INVOCATIONS, asking(MAIL))
    assert wire.json["choices"][0]["message"]["content"] == MAIL
    assert "input_guardrail" not in wire.json
    # As it came.
    body = {"model": "claude", "max_tokens": 3, "messages": [{"role": "user", "content": MAIL}]}
    await pipeline.post("/serving-endpoints/anthropic/v1/messages", body | {"odd": 1})
    assert pipeline.provider.heard["odd"] == 1


async def test_a_request_that_guardrails_look_through_is_translated(pipeline: Pipeline) -> None:
    pipeline.guard({"input": MASK})
    body = {"model": "claude", "max_tokens": 3, "messages": [{"role": "user", "content": MAIL}]}
    wire = await pipeline.post("/serving-endpoints/anthropic/v1/messages", body | {"odd": 1})
    assert wire.status == 400
    assert "'odd'" in wire.json["error"]["message"]
