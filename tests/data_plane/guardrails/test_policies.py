"""Policies: pseudonyms, what is only logged, whom they do not hold for, and what cannot be read."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from prometheus_client import generate_latest

from modelplane.data_plane.guardrails.pseudonyms import Pseudonyms, Restorer
from modelplane.data_plane.guardrails.verdict import Verdict
from modelplane.data_plane.usage.encoding import Tokens, encode_outcome
from tests.data_plane.guardrails.pipeline import (
    PSEUDONYM_KEY,
    Json,
    Pipeline,
    chat_answer,
    chat_chunks,
)
from tests.data_plane.guardrails.speech import SPEECH
from tests.data_plane.guardrails.test_calls import INVOCATIONS, MAIL, asking
from tests.data_plane.guardrails.test_every_cell import ask
from tests.data_plane.guardrails.texts import WORDS, cuts
from tests.data_plane.guardrails.ways import WAYS, Way, arguments
from tests.data_plane.messages import principal

CHATS = [way for way in WAYS if way.outputs]
PSEUDONYM = {"name": "hide", "pii": {}, "action": "pseudonym"}


def verdict_of(pipeline: Pipeline) -> Verdict:
    guard = pipeline.ledger.records[-1].guard
    assert guard is not None
    return guard.verdict()


@pytest.fixture
async def pipeline() -> Pipeline:
    made = Pipeline()
    made.provider.say(chat_answer({"content": "Fine."}))
    return made


def said_to(pipeline: Pipeline) -> Any:
    return pipeline.provider.heard["messages"][-1]["content"]


# Pseudonyms.


def test_a_value_has_one_pseudonym_and_another_with_another_key() -> None:
    first, again, other = (
        Pseudonyms(key).name("EMAIL_ADDRESS", MAIL) for key in (b"a", b"a", b"b")
    )
    assert first == again != other
    assert first.startswith("<EMAIL_ADDRESS_")


def test_what_stands_for_two_values_is_longer() -> None:
    pseudonyms = Pseudonyms(PSEUDONYM_KEY)
    short = pseudonyms.name("EMAIL_ADDRESS", MAIL)
    clash = Pseudonyms(PSEUDONYM_KEY)
    clash._values[short] = "somebody@else.example"
    longer = clash.name("EMAIL_ADDRESS", MAIL)
    assert longer.startswith(short[:-1])
    assert len(longer) > len(short)
    assert clash.restore(f"{short} {longer}") == f"somebody@else.example {MAIL}"


@given(st.data())
def test_a_stream_is_restored_however_it_is_cut(data: st.DataObject) -> None:
    pseudonyms = Pseudonyms(PSEUDONYM_KEY)
    names = [pseudonyms.name("EMAIL_ADDRESS", f"u{i}@example.com") for i in range(3)]
    parts = st.sampled_from([*names, "<", "<EMAIL", "<EMAIL_ADDRESS_aaaaaaaa>", "<b>", "_", ">"])
    text = "".join(data.draw(st.lists(parts | st.text(max_size=3), max_size=12)))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    restorer = Restorer(pseudonyms)
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    told = [restorer.feed(piece) for piece in pieces]
    assert "".join(told) + restorer.feed("", final=True) == pseudonyms.restore(text)


@pytest.mark.parametrize("way", CHATS, ids=lambda way: way.name)
@pytest.mark.parametrize("streams", [False, True])
async def test_pseudonyms_go_out_and_come_back(way: Way, streams: bool) -> None:  # noqa: FBT001
    """Whatever the protocol, a provider gets no value, and the caller gets each one back."""
    pipeline = Pipeline()
    pipeline.guard(policies=[PSEUDONYM])
    name = Pseudonyms(PSEUDONYM_KEY).name("EMAIL_ADDRESS", MAIL)
    whole, streamed = SPEECH[way.endpoint]["content"]
    pipeline.provider.say(whole(f"Ask {name}, not <EMAIL_ADDRESS_aaaaaaaa>."))
    if streams:
        text = f"Ask {name}, not <EMAIL_ADDRESS_aaaaaaaa>."
        pipeline.provider.stream(streamed([text[at : at + 3] for at in range(0, len(text), 3)]))
    wire = await ask(pipeline, way, next(iter(way.inputs)), f"I am {MAIL}", streams=streams)
    assert MAIL not in json.dumps(pipeline.provider.heard)
    assert name in json.dumps(pipeline.provider.heard)
    assert MAIL in wire.text
    assert "<EMAIL_ADDRESS_aaaaaaaa>" in wire.text.replace("\\u003c", "<").replace("\\u003e", ">")
    assert name not in wire.text


@pytest.mark.parametrize("streams", [False, True])
async def test_arguments_of_tools_get_values_and_stay_json(
    pipeline: Pipeline,
    streams: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    quoted = {"name": "hide", "patterns": {"expressions": ['"[a-z]{3}"']}, "action": "pseudonym"}
    pipeline.guard(policies=[quoted])
    name = Pseudonyms(PSEUDONYM_KEY).name("PATTERN", '"abc"')
    whole, streamed = SPEECH["chat"]["arguments"]
    pipeline.provider.say(whole(name))
    if streams:
        pipeline.provider.stream(streamed([name]))
    wire = await pipeline.post(INVOCATIONS, asking('Send "abc"', stream=streams))
    events = wire.events if streams else [wire.json]
    calls = [
        call
        for event in events
        for choice in event["choices"]
        for call in choice["delta" if streams else "message"].get("tool_calls") or ()
    ]
    [told] = [call["function"]["arguments"] for call in calls if call["function"]["arguments"]]
    assert json.loads(told) == json.loads(arguments('"abc"'))


async def test_a_conversation_has_the_same_pseudonyms_in_every_turn(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[PSEUDONYM])
    await pipeline.post(INVOCATIONS, asking(f"I am {MAIL}"))
    first = said_to(pipeline)
    await pipeline.post(INVOCATIONS, asking(f"I am {MAIL}"))
    assert said_to(pipeline) == first
    assert verdict_of(pipeline).action == "masked"


# What is only logged.


@pytest.mark.parametrize("streams", [False, True])
@given(pieces=cuts())
async def test_what_only_logs_changes_nothing_and_tells_what_would_have_been(
    streams: bool,  # noqa: FBT001 - a parameter of the test
    pieces: Sequence[str],
) -> None:
    """What a policy would have done is what it does when it is enforced."""
    block = {"name": "strict", "pii": {}, "phases": ["output"]}
    words = {"name": "words", "keywords": {"words": list(WORDS)}, "phases": ["output"]}
    whole, streamed = SPEECH["chat"]["content"]
    text = "".join(pieces)
    found = []
    for mode in ("log", "enforce"):
        pipeline = Pipeline()
        pipeline.guard(policies=[{**block, "mode": mode}, {**words, "mode": mode}])
        pipeline.provider.say(whole(text))
        if streams:
            pipeline.provider.stream(streamed([piece for piece in pieces if piece]))
        wire = await pipeline.post(INVOCATIONS, asking("Hi", stream=streams))
        found.append(verdict_of(pipeline))
        if mode == "log":
            told = wire.events if streams else [wire.json]
            name = "delta" if streams else "message"
            parts = [c[name].get("content") or "" for e in told for c in e["choices"]]
            assert "".join(parts) == text
    logged, enforced = found
    assert (logged.action == "would_block") == (enforced.action == "blocked")
    assert logged.phase == enforced.phase
    if not streams:
        assert set(logged.entities) == set(enforced.entities)


async def test_what_is_logged_is_in_the_row_and_in_metrics(pipeline: Pipeline) -> None:
    quiet = {"name": "quiet", "pii": {}, "mode": "log", "phases": ["input"]}
    masking = {"name": "loud", "keywords": {"words": ["falcon"]}, "action": "mask"}
    pipeline.guard(policies=[quiet, masking])
    await pipeline.post(INVOCATIONS, asking(f"The falcon is {MAIL}"))
    assert said_to(pipeline) == f"The <INVALID_KEYWORD> is {MAIL}"
    record = pipeline.ledger.records[-1]
    encoded = encode_outcome(record, Tokens(9, 5, None, None, estimated=False), 1.0, ())
    told = UsageEntry.FromString(encoded).outcome.guardrail
    assert told.action == "masked"
    assert dict(told.logged) == {"quiet": "blocked"}
    assert dict(told.entities) == {"INVALID_KEYWORD": 1, "EMAIL_ADDRESS": 1}
    text = generate_latest(pipeline.registry).decode()
    logged = 'logged_total{action="blocked",phase="input",policy="quiet"} 1.0'
    assert f"modelplane_guardrail_{logged}" in text
    assert MAIL not in text


# For whom, for how many, and what cannot be read.


@pytest.mark.parametrize("name", ["admin", "TEAM"])
async def test_a_policy_holds_not_for_the_exempt(pipeline: Pipeline, name: str) -> None:
    caller = principal("admin")
    caller.memberships.add(group_id="g", group_name="Team")
    pipeline.callers = {"principals": (caller,)}
    masking = {"name": "m", "pii": {}, "action": "mask"}
    pipeline.guard(policies=[{**masking, "exempt": [name]}])
    await pipeline.post(INVOCATIONS, asking(f"I am {MAIL}"))
    assert said_to(pipeline) == f"I am {MAIL}"
    assert verdict_of(pipeline).action == "exempt"
    pipeline.guard(policies=[{**masking, "exempt": ["somebody"]}])
    await pipeline.post(INVOCATIONS, asking(f"I am {MAIL}"))
    assert said_to(pipeline) == "I am <EMAIL_ADDRESS>"


async def test_a_policy_holds_for_a_share_of_the_calls(pipeline: Pipeline) -> None:
    half = {"name": "m", "pii": {}, "action": "mask", "sampling_fraction": 0.5}
    pipeline.guard(policies=[half])
    guardrails = pipeline.snapshots.current.names["chat"].guardrails
    assert guardrails is not None
    held = [guardrails.rules(("admin",), f"call-{i}").input is not None for i in range(400)]
    assert 150 < sum(held) < 250
    assert held == [guardrails.rules((), f"call-{i}").input is not None for i in range(400)]


async def test_what_cannot_be_read_passes_or_not(pipeline: Pipeline) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    policy = {"name": "eyes", "pii": {}, "phases": ["input"]}
    pipeline.guard(policies=[policy])
    assert (await pipeline.post(INVOCATIONS, asking([image]))).status == 200
    pipeline.guard(policies=[{**policy, "unscannable": "block"}])
    wire = await pipeline.post(INVOCATIONS, asking([image]))
    assert wire.status == 400
    assert verdict_of(pipeline).entities == {"UNREADABLE_CONTENT": 1}
    assert verdict_of(pipeline).policy == "eyes"


async def test_the_lowest_rank_gives_its_name(pipeline: Pipeline) -> None:
    policies = [
        {"name": "late", "rank": 7, "keywords": {"words": ["falcon"]}},
        {"name": "early", "rank": 3, "keywords": {"words": ["blue falcon"]}},
    ]
    pipeline.guard({"input": {"pii": {"behavior": "MASK"}}}, policies)
    await pipeline.post(INVOCATIONS, asking(f"blue falcon, {MAIL}"))
    assert verdict_of(pipeline).policy == "early"
    pipeline.guard({"input": {"invalid_keywords": ["falcon"]}}, policies)
    await pipeline.post(INVOCATIONS, asking("blue falcon"))
    assert verdict_of(pipeline).policy == "invalid_keywords"


# What lies across the end of a thought.


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("cut", range(1, len(MAIL)))
async def test_nothing_gets_out_across_the_end_of_a_thought(
    pipeline: Pipeline,
    cut: int,
    streams: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    pipeline.guard({"output": {"pii": {"behavior": "MASK"}}})
    thought, said = f"It is {MAIL[:cut]}", f"{MAIL[cut:]} I think."
    if streams:
        deltas: list[Json] = [{"reasoning_content": piece} for piece in thought]
        deltas += [{"content": piece} for piece in said]
        pipeline.provider.stream(chat_chunks(deltas))
    else:
        pipeline.provider.say(chat_answer({"reasoning_content": thought, "content": said}))
    wire = await pipeline.post(INVOCATIONS, asking("Who?", stream=streams))
    name = "delta" if streams else "message"
    told = [
        choice[name] for e in (wire.events if streams else [wire.json]) for choice in e["choices"]
    ]
    thoughts = "".join(part.get("reasoning_content") or "" for part in told)
    text = "".join(part.get("content") or "" for part in told)
    assert thoughts + text == "It is <EMAIL_ADDRESS> I think."
    assert verdict_of(pipeline).entities == {"EMAIL_ADDRESS": 1}


@given(cuts(), cuts())
async def test_thoughts_and_texts_are_masked_alike_whole_and_streamed(
    first: Sequence[str], second: Sequence[str]
) -> None:
    pipeline = Pipeline()
    pipeline.guard({"output": {"pii": {"behavior": "MASK"}}})
    thought, said = "".join(first), "".join(second)
    pipeline.provider.say(chat_answer({"reasoning_content": thought, "content": said}))
    whole = (await pipeline.post(INVOCATIONS, asking("?"))).json["choices"][0]["message"]
    deltas: list[Json] = [{"reasoning_content": piece} for piece in first if piece]
    deltas += [{"content": piece} for piece in second if piece]
    pipeline.provider.stream(chat_chunks(deltas))
    wire = await pipeline.post(INVOCATIONS, asking("?", stream=True))
    told = [choice["delta"] for event in wire.events for choice in event["choices"]]
    for name in ("reasoning_content", "content"):
        assert "".join(part.get(name) or "" for part in told) == (whole.get(name) or "")


async def test_parts_of_a_message_are_read_as_one(pipeline: Pipeline) -> None:
    pipeline.guard({"input": {"pii": {"behavior": "MASK"}}})
    parts = [{"type": "text", "text": text} for text in ("I am john@", "example.com, see?")]
    await pipeline.post(INVOCATIONS, asking(parts))
    assert [part["text"] for part in said_to(pipeline)] == ["I am <EMAIL_ADDRESS>", ", see?"]


@pytest.mark.parametrize(("end", "signature"), [("so.", "sig=="), (f"{MAIL}.", "")])
async def test_a_signature_holds_for_what_was_signed(
    pipeline: Pipeline, end: str, signature: str
) -> None:
    pipeline.guard({"output": {"pii": {"behavior": "MASK"}}})
    block = {"type": "thinking", "thinking": ""}
    deltas: list[Json] = [
        {"thinking_blocks": [{**block, "thinking": "I think "}]},
        {"thinking_blocks": [{**block, "thinking": f"{end} john@"}]},
        {"thinking_blocks": [{**block, "signature": "sig=="}]},
        {"content": "example"},
        {"content": "."},
    ]
    pipeline.provider.stream(chat_chunks(deltas))
    wire = await pipeline.post(INVOCATIONS, asking("?", stream=True))
    told = [choice["delta"] for event in wire.events for choice in event["choices"]]
    blocks = [one for delta in told for one in delta.get("thinking_blocks", ())]
    masked = end.replace(MAIL, "<EMAIL_ADDRESS>")
    assert "".join(one["thinking"] for one in blocks) == f"I think {masked} john@"
    assert [one["signature"] for one in blocks if "signature" in one] == [signature]
    assert "".join(delta.get("content") or "" for delta in told) == "example."
    whole = {**block, "thinking": f"I think {end} john@", "signature": "sig=="}
    pipeline.provider.say(chat_answer({"thinking_blocks": [whole], "content": "example."}))
    answer = (await pipeline.post(INVOCATIONS, asking("?"))).json
    [told_whole] = answer["choices"][0]["message"]["thinking_blocks"]
    assert told_whole == {
        **whole,
        "thinking": f"I think {masked} john@",
        "signature": signature,
    }
