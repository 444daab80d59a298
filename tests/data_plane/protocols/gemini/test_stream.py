"""Streams of the Gemini API: each event an answer, which add up to the whole one."""

import json
from typing import Any

from google.genai.types import GenerateContentResponse
from hypothesis import given

from modelplane.adapters.providers.canonical.forms import add_up
from modelplane.data_plane.errors import EndpointNotFound, refusal_of
from modelplane.data_plane.protocols.gemini.answer import build_answer
from modelplane.data_plane.protocols.gemini.stream import GeminiStream
from modelplane.data_plane.protocols.thoughts import unseal
from tests.data_plane.protocols.upstream import Answer, Json, answers, arriving, events_of


def written(answer: Answer) -> list[dict[str, Any]]:
    stream = GeminiStream(thoughts=True)
    raw = b"".join(map(stream.chunk, arriving(answer))) + stream.finish()
    return events_of(raw)


@given(answers())
def test_events_add_up_to_the_whole_answer(answer: Answer) -> None:
    events = written(answer)
    parts: list[Json] = []
    for event in events:
        GenerateContentResponse.model_validate(event)
        parts += [part for one in event["candidates"] for part in one["content"]["parts"]]
    reasons = [one.get("finishReason") for event in events for one in event["candidates"]]
    assert [reason for reason in reasons if reason] == [reasons[-1]]
    chunks = [dict(chunk) for chunk in answer.chunks]
    whole: Json = build_answer(add_up("p", chunks), thoughts=True)
    assert reasons[-1] == whole["candidates"][0]["finishReason"]
    assert events[-1]["usageMetadata"] == whole["usageMetadata"]
    assert events[-1]["usageMetadata"]["thoughtsTokenCount"] == 2
    texts = [
        "".join(
            part["text"]
            for part in parts
            if bool(part.get("thought")) is thought and "text" in part
        )
        for thought in (True, False)
    ]
    assert texts == [answer.thought, answer.text]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(call["name"], call["args"]) for call in calls] == [
        (call.name, json.loads(call.arguments or "{}")) for call in answer.calls
    ]
    signed = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    assert [unseal(text)[0]["signature"] for text in signed] == (
        [answer.signature] if answer.signature else []
    )


def test_a_stream_that_breaks_off_says_why() -> None:
    stream = GeminiStream(thoughts=False)
    (event,) = events_of(stream.fail(refusal_of(EndpointNotFound(), "r-1")))
    assert event["error"]["status"] == "NOT_FOUND"
