"""Native requests in a worker's pipeline: their bytes pass both ways, and each counts once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from modelplane.data_plane.calls.record import Record
from tests.data_plane.guardrails.pipeline import (
    Json,
    Pipeline,
    Wire,
    chat_answer,
    chat_chunks,
    claude_answer,
    claude_events,
)

MESSAGES = "/ai-gateway/anthropic/v1/messages"
RESPONSES = "/ai-gateway/openai/v1/responses"
GEMINI = "/ai-gateway/gemini/v1beta/models/chat:generateContent"
# As their clients write requests, and as none of them would.
CORPUS = (
    (MESSAGES, b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]%b}'),
    (
        MESSAGES,
        (
            b'{"model": "claude", "max_tokens": 32000, "system": [{"type": "text", "text": '
            b'"\\u00e4",'
            b' "cache_control": {"type": "ephemeral"}}], "metadata": {"user_id": "u_1"}, '
            b'"messages": '
            b'[{"role": "user", "content": [{"type": "text", "text": "the \\"model\\" says"}]}]%b}'
        ),
    ),
    (
        MESSAGES,
        (
            b'{"thinking":{"type":"enabled","budget_tokens":1024},"max_tokens":2e3,\n\t"messages":['
            b'{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking",'
            b'"thinking":"t","signature":"s=="},{"type":"tool_use","id":"t1","name":"n",'
            b'"input":{}}]},'
            b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r"}]}],'
            b'"tools":[{"name":"n","input_schema":{"type":"object"},"new_field":null}]%b, '
            b'"model":"claude" }'
        ),
    ),
    (RESPONSES, b'{"model":"chat","input":"hi","store":false%b}'),
    (
        RESPONSES,
        (
            b'{"model": "chat", "instructions": "Be brief.", "input": [{"type": "message", "role": '
            b'"user", "content": [{"type": "input_text", "text": "\xc3\xa4 \\u00e4"}]}], '
            b'"include": '
            b'["reasoning.encrypted_content"], "prompt_cache_key": "0-1", "tool_choice": "auto"%b}'
        ),
    ),
)
ANSWERS = {
    MESSAGES: [
        (
            b'{"id":"m1", "type":"message","content":[{"type":"text","text":"\\u00e4"}],'
            b'"usage":{"input_tokens": 9,"output_tokens":5} , "unknown":{"a":1.50}}'
        )
    ],
    RESPONSES: [
        (
            b'{ "object":"response","id":"r","status":"completed","output":[],'
            b'"usage":{"input_tokens":9,"output_tokens":5}}\n'
        )
    ],
}
STREAMS = {
    MESSAGES: [
        (
            b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
            b'{"input_tokens":9}}}\n\n: kept alive\n\nevent: ping\ndata: {"type": '
            b'"ping"}\n\nevent: c'
        ),
        b'ontent_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\xc3',
        (
            b'\xa4"}}\n\nevent: message_delta\ndata: {"type":"message_delta",'
            b'"delta":{"stop_reason":'
            b'"end_turn"},"usage":{"output_tokens":5}}\n\nevent: message_stop\n'
            b'data: {"type":"message_stop" }\n\n'
        ),
    ],
    RESPONSES: [
        b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n',
        b'data: {"type":"response.output_text.delta","delta":"\\u00e4"}\n\nevent: response.comp',
        (
            b'leted\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":9,'
            b'"output_tokens":5}}}\n\n'
        ),
    ],
}
MODELS = {"claude": "claude-sonnet-4-5", "chat": "gpt-4"}


async def passed(path: str, body: bytes, parts: Sequence[bytes], *, streams: bool) -> Wire:
    """Send a request whose answer comes in parts, and check what the provider got."""
    pipeline = Pipeline()
    pipeline.guard(None)
    pipeline.provider.parts, pipeline.provider.streams = list(parts), streams
    wire = await pipeline.post(path, body)
    (sent,) = pipeline.provider.requests
    own = next(name for name in MODELS if b'"%b"' % name.encode() in body)
    assert sent.body == body.replace(b'"%b"' % own.encode(), b'"%b"' % MODELS[own].encode())
    (record,) = pipeline.ledger.records
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 5)
    return wire


@pytest.mark.parametrize(("path", "body"), CORPUS, ids=map(str, range(len(CORPUS))))
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_bytes_pass_both_ways(path: str, body: bytes, *, streams: bool) -> None:
    parts = (STREAMS if streams else ANSWERS)[path]
    wire = await passed(
        path, body % (b',"stream":true' if streams else b""), parts, streams=streams
    )
    assert b"".join(wire.sent) == b"".join(parts)


@dataclass(frozen=True)
class Way:
    """The same question in the form of one API.

    Attributes:
        says: What the provider answers; a list: as a stream.
    """

    name: str
    path: str
    body: Json
    says: Json | list[Json]


QUESTION = [{"role": "user", "content": "hello there"}]
STREAMED: Json = {"stream": True}
WAYS = (
    Way("chat", "/serving-endpoints/chat/completions", {"model": "chat"}, chat_answer({})),
    Way(
        "chat stream",
        "/serving-endpoints/chat/completions",
        {"model": "chat", **STREAMED},
        chat_chunks([{"content": "a"}]),
    ),
    Way(
        "messages passed",
        MESSAGES,
        {"model": "claude", "max_tokens": 9},
        claude_answer({"type": "text", "text": "a"}),
    ),
    Way(
        "messages passed stream",
        MESSAGES,
        {"model": "claude", "max_tokens": 9, **STREAMED},
        claude_events({"type": "text", "text": ""}, [{"type": "text_delta", "text": "a"}]),
    ),
    Way("messages translated", MESSAGES, {"model": "chat", "max_tokens": 9}, chat_answer({})),
    Way(
        "messages translated stream",
        MESSAGES,
        {"model": "chat", "max_tokens": 9, **STREAMED},
        chat_chunks([{"content": "a"}]),
    ),
    Way("responses passed", RESPONSES, {"model": "chat"}, json.loads(ANSWERS[RESPONSES][0])),
    Way(
        "responses passed stream",
        RESPONSES,
        {"model": "chat", **STREAMED},
        [
            {"type": "response.output_text.delta", "delta": "a"},
            {
                "type": "response.completed",
                "response": {"usage": {"input_tokens": 9, "output_tokens": 5}},
            },
        ],
    ),
    Way("gemini translated", GEMINI, {}, chat_answer({})),
    Way(
        "gemini translated stream",
        GEMINI.replace("generateContent", "streamGenerateContent?alt=sse"),
        {},
        chat_chunks([{"content": "a"}]),
    ),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_call_counts_once_however_it_came(way: Way) -> None:
    """In the ledger, in metrics and to limits, with the provider's counts."""
    pipeline = Pipeline()
    pipeline.guard(None)
    if isinstance(way.says, list):
        pipeline.provider.stream(way.says)
    else:
        pipeline.provider.say(way.says)
    contents = [{"role": "user", "parts": [{"text": "hello there"}]}]
    asked: Json = {"contents": contents} if "gemini" in way.name else {"messages": QUESTION}
    if "responses" in way.name:
        asked = {"input": QUESTION}
    wire = await pipeline.post(way.path, {**way.body, **asked})
    assert wire.status == 200, wire.text
    assert len(pipeline.provider.requests) == 1
    [record] = pipeline.ledger.records
    assert isinstance(record, Record)
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 5)
    assert len(record.attempts) == 1
    counted = {
        sample.name: sample.value
        for metric in pipeline.registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_requests_total") and sample.value
    }
    assert counted
    assert set(counted.values()) == {1.0}, counted
