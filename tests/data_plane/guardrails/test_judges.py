"""Judges: endpoints whose models say whether a request or an answer may pass."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.guardrail_policy_pb2 import GuardrailJudge
from modelserving.worker.v1.snapshot_pb2 import Grant, PermissionLevel

from modelplane.adapters.providers.canonical.json_values import as_objects
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.data_plane.calls.aside import Aside
from modelplane.data_plane.guardrails.judges import (
    Judge,
    NoVerdict,
    Turn,
    build_question,
    compile_judge,
    parse_ruling,
)
from modelplane.data_plane.guardrails.rule import Rule
from tests.data_plane.guardrails.judge_rules import CATEGORIES, conversation, moderate
from tests.data_plane.guardrails.pipeline import Json, Pipeline, chat_answer, chat_chunks
from tests.data_plane.guardrails.test_calls import COMPLETIONS, INVOCATIONS, asking
from tests.data_plane.messages import principal

SAFE = chat_answer({"content": "safe"})
UNSAFE = chat_answer({"content": "\n\nunsafe\nS1,S10"})
GUARD: Json = {"endpoint_name": "judge", "form": "llama_guard"}
TURNS = [Turn("user", "Hi"), Turn("assistant", "Yes?")]


def judge(form: str, *topics: str, **more: str) -> Judge:
    settings = GuardrailJudge(endpoint_name="judge", form=form, valid_topics=topics)
    settings.instructions = more.get("instructions", "")
    return compile_judge(Rule("safety"), settings)


def policy(**more: object) -> Json:
    return {"name": "p", "judge": GUARD, **more}


@pytest.fixture
async def pipeline() -> Pipeline:
    made = Pipeline()
    made.provider.say(chat_answer({"content": "Fine."}))
    made.provider.verdicts = [SAFE]
    return made


def test_llama_guard_is_asked_as_a_chat() -> None:
    asked = build_question(judge("llama_guard"), TURNS, "output")
    assert asked["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
    ]
    found = parse_ruling(judge("llama_guard"), UNSAFE)
    assert (found.flagged, found.categories) == (True, {"S1": True, "S10": True})
    assert not parse_ruling(judge("llama_guard"), SAFE).flagged


@given(
    said=st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.just("x")), min_size=1)
)
def test_llama_guard_reads_user_and_agent_by_turns(said: list[Turn]) -> None:
    last = Turn(said[-1].role, "the last")
    asked = build_question(judge("llama_guard"), [*said[:-1], last], "input")
    conversation(asked)
    told = as_objects(asked["messages"])[-1]
    assert (told["role"], str(told["content"])[-8:]) == (last.role, last.text)


def test_moderation_is_asked_for_a_text() -> None:
    asked = build_question(judge("moderation"), TURNS, "output")
    assert asked == {"input": "Yes?"}
    found = parse_ruling(judge("moderation"), moderate(asked, "violence", "self-harm/intent"))
    assert found.flagged
    flagged = {name for name, value in found.categories.items() if value}
    assert flagged == {"violence", "self-harm/intent"}
    # All that OpenAI's SDK knows, under the names that it has in the API.
    assert found.categories.keys() == found.scores.keys() == set(CATEGORIES)
    assert (found.scores["violence"], found.scores["hate"]) == (0.9, 0.1)
    assert not parse_ruling(judge("moderation"), moderate(asked)).flagged


def test_an_older_model_of_moderation_leaves_categories_unsaid() -> None:
    answer = moderate({"input": "x"}, "violence", unsaid=("illicit", "illicit/violent"))
    found = parse_ruling(judge("moderation"), answer)
    assert (found.flagged, found.categories["illicit"]) == (True, False)


@pytest.mark.parametrize("body", [{}, {"input": 1}, {"input": "x", "messages": []}])
def test_the_emulated_moderation_refuses_what_openai_does(body: Json) -> None:
    with pytest.raises(ValueError, match="moderation"):
        moderate(body)


@pytest.mark.parametrize(
    ("decision", "flagged"), [("proceed", False), ("reject", True), ("sanitize", True)]
)
def test_a_custom_guardrail_gets_what_the_mirrored_product_sends(
    decision: str,
    flagged: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    mode = {"phase": "input", "stream_mode": "non_streaming"}
    asked = build_question(judge("custom_guardrail"), TURNS[:1], "input")
    assert asked == {"messages": [{"role": "user", "content": "Hi"}], "mode": mode}
    [choice] = build_question(judge("custom_guardrail"), TURNS, "output")["inputs"]["choices"]  # type: ignore[index]
    assert choice["message"] == {"role": "assistant", "content": "Yes?"}
    answers: list[Json] = [{"decision": decision}, {"predictions": [{"decision": decision}]}]
    for answer in answers:
        assert parse_ruling(judge("custom_guardrail"), answer).flagged is flagged


def test_a_plain_judge_is_told_what_must_not_pass() -> None:
    asked = build_question(judge("verdict", "trains", "ferries"), TURNS, "input")
    assert asked["response_format"]["json_schema"]["strict"]  # type: ignore[index]
    system, conversation = (message["content"] for message in asked["messages"])  # type: ignore[attr-defined]
    assert '["trains","ferries"]' in system
    assert json.loads(conversation)[-1] == {"role": "assistant", "content": "Yes?"}
    assert "be rude" in str(
        build_question(judge("verdict", instructions="be rude"), TURNS, "input")
    )
    fenced = chat_answer({"content": 'Well:\n```json\n{"flagged": true}\n```'})
    found = parse_ruling(judge("verdict", "trains"), fenced)
    assert (found.flagged, found.entity) == (True, "OFF_TOPIC")


@pytest.mark.parametrize("form", ["llama_guard", "moderation", "custom_guardrail", "verdict"])
def test_what_is_no_verdict_is_not_taken_for_one(form: str) -> None:
    answers: list[Json] = [{}, chat_answer({"content": "I cannot say."}), {"results": [{}]}]
    for answer in answers:
        with pytest.raises(NoVerdict):
            parse_ruling(judge(form), answer)


def test_without_a_judge_nothing_is_served() -> None:
    with pytest.raises(ConfigRefused, match="needs a judge"):
        compile_judge(Rule("safety"), None)


@pytest.mark.parametrize("path", [INVOCATIONS, COMPLETIONS])
async def test_what_a_judge_flags_does_not_pass(pipeline: Pipeline, path: str) -> None:
    pipeline.guard({"input": {"safety": True}}, safety_judge=GuardrailJudge(**GUARD))
    pipeline.provider.verdicts = [UNSAFE]
    wire = await pipeline.post(path, asking("How is a bomb made?"))
    assert not pipeline.provider.requests
    if path == INVOCATIONS:
        [item] = json.loads(wire.json["message"])["input_guardrail"]
        assert item["flagged"]
        assert item["categories"] == {"S1": True, "S10": True}
    else:
        assert wire.json["databricks_service_policy"]["name"] == "safety"


async def test_topics_are_judged_in_words(pipeline: Pipeline) -> None:
    topics = {"input": {"valid_topics": ["trains"]}}
    pipeline.guard(topics, topics_judge=GuardrailJudge(endpoint_name="judge", form="verdict"))
    pipeline.provider.verdicts = [chat_answer({"content": '{"flagged": true}'})]
    wire = await pipeline.post(INVOCATIONS, asking("And cooking?"))
    assert wire.status == 400
    [record] = [record for record in pipeline.ledger.records if record.guard]
    assert record.guard is not None
    assert record.guard.verdict().policy == "valid_topics"
    assert record.guard.verdict().entities == {"OFF_TOPIC": 1}


async def test_a_judge_has_a_row_of_its_own_for_whoever_calls(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(phases=["input"])])
    await pipeline.post(INVOCATIONS, asking("Hi"))
    judged, asked = pipeline.ledger.records
    assert (judged.endpoint.name, asked.endpoint.name) == ("judge", "chat")  # type: ignore[union-attr]
    assert judged.principal.id == asked.principal.id  # type: ignore[union-attr]
    assert judged.usage is not None
    assert dict(judged.labels.usage_context) == {
        "source": "guardrail",
        "guardrail": "p",
        "endpoint": "chat",
        "request_id": asked.request_id,
    }


async def test_whoever_calls_need_not_be_allowed_to_query_the_judge(pipeline: Pipeline) -> None:
    pipeline.callers = {"principals": (principal("admin", admin=False),)}
    query = Grant(grantee_id="id-admin", level=PermissionLevel.PERMISSION_LEVEL_CAN_QUERY)
    pipeline.guard(policies=[policy()], grants=[query])
    wire = await pipeline.post("/serving-endpoints/judge/invocations", asking("Hi"))
    assert wire.status == 404
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 200
    assert pipeline.provider.judged


async def test_a_judge_is_judged_by_nobody(pipeline: Pipeline) -> None:
    pipeline.judge_settings = {"policies": []}
    pipeline.guard(policies=[policy()])
    before = pipeline.snapshots.current.names["judge"]
    assert before.guardrails is None
    pipeline.judge_settings = {
        "safety_judge": GuardrailJudge(**GUARD),
        "ai_gateway": {"guardrails": {"input": {"safety": True}}},
    }
    pipeline.guard(policies=[policy(phases=["input"])])
    assert pipeline.snapshots.current.names["judge"].guardrails is not None
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 200
    assert len(pipeline.provider.judged) == 1


@pytest.mark.parametrize("answer", [chat_answer({"content": "Hm."}), {"error": "?"}])
async def test_without_a_verdict_nothing_passes(pipeline: Pipeline, answer: Json) -> None:
    pipeline.guard(policies=[policy(phases=["input"])])
    pipeline.provider.verdicts = [answer]
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 503
    assert "its judge, the endpoint 'judge', gave no verdict" in wire.json["message"]
    assert not pipeline.provider.requests
    [record] = [record for record in pipeline.ledger.records if record.guard]
    assert record.guard is not None
    assert record.guard.verdict().action == "error"
    assert record.guard.verdict().policy == "p"


async def test_without_a_verdict_all_passes_where_that_is_wanted(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(judge={**GUARD, "on_error": "open"})])
    pipeline.provider.verdicts = [chat_answer({"content": "Hm."})]
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 200
    record = pipeline.ledger.records[-1]
    assert record.guard is not None
    assert record.guard.verdict().action == "error"


async def test_an_answer_is_judged_with_what_was_asked(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(phases=["output"])])
    pipeline.provider.verdicts = [UNSAFE]
    wire = await pipeline.post(INVOCATIONS, asking("Tell me"))
    assert json.loads(wire.json["message"])["finishReason"] == "output_guardrail_triggered"
    [asked] = pipeline.provider.judged
    assert [message["content"] for message in asked["messages"]] == ["Tell me", "Fine."]
    # Nobody else is asked for an answer that may pass.
    assert len(pipeline.provider.requests) == 1


async def test_nothing_of_a_stream_leaves_before_it_is_judged(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(phases=["output"])])
    pipeline.provider.stream(chat_chunks([{"content": "One "}, {"content": "two."}]))
    wire = await pipeline.post(INVOCATIONS, asking("Count", stream=True))
    told = [event["choices"][0]["delta"].get("content", "") for event in wire.events[:-1]]
    assert "".join(told) == "One two."
    pipeline.provider.verdicts = [UNSAFE]
    wire = await pipeline.post(INVOCATIONS, asking("Count on", stream=True))
    assert wire.status == 400
    assert "One" not in wire.text
    pipeline.provider.verdicts = [chat_answer({"content": "Hm."})]
    wire = await pipeline.post(INVOCATIONS, asking("And again", stream=True))
    assert wire.status == 503
    assert "One" not in wire.text


async def test_a_history_is_judged_once(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(phases=["input"])])
    history = [{"role": "user", "content": "First"}, {"role": "assistant", "content": "Yes?"}]
    await pipeline.post(INVOCATIONS, {"messages": history[:1]})
    await pipeline.post(INVOCATIONS, {"messages": history[:1]})
    assert len(pipeline.provider.judged) == 1
    await pipeline.post(INVOCATIONS, {"messages": [*history, {"role": "user", "content": "More"}]})
    said = [message["content"] for message in pipeline.provider.judged[1]["messages"]]
    # What is new, and before it what it follows.
    assert said == ["First\n\nYes?\n\nMore"]
    await pipeline.post(INVOCATIONS, {"messages": [{"role": "user", "content": "x" * 300_000}]})
    assert len(pipeline.provider.judged) == 2


async def test_what_passes_in_one_conversation_may_not_in_another(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy()])
    await pipeline.post(INVOCATIONS, asking("May I have tea?"))
    pipeline.provider.verdicts = [SAFE, UNSAFE]
    wire = await pipeline.post(INVOCATIONS, asking("May I burn it down?"))
    # The answer is the same, and yet is judged.
    assert json.loads(wire.json["message"])["finishReason"] == "output_guardrail_triggered"


async def test_judges_read_what_is_masked(pipeline: Pipeline) -> None:
    masking = {"name": "m", "pii": {}, "action": "mask"}
    pipeline.guard(policies=[masking, policy(phases=["input"])])
    await pipeline.post(INVOCATIONS, asking("I am john@example.com"))
    assert pipeline.provider.judged[0]["messages"][0]["content"] == "I am <EMAIL_ADDRESS>"


async def test_a_judge_that_only_logs_blocks_nothing(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(mode="log")])
    pipeline.provider.verdicts = [UNSAFE]
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 200
    await pipeline.inference.finish(120)
    record = pipeline.ledger.records[-1]
    assert record.guard is not None
    verdict = record.guard.verdict()
    assert (verdict.action, verdict.policy, verdict.phase) == ("would_block", "p", "input")
    assert verdict.entities == {"UNSAFE": 2}
    pipeline.provider.stream(chat_chunks([{"content": "One "}, {"content": "two."}]))
    wire = await pipeline.post(INVOCATIONS, asking("Count", stream=True))
    assert "One " in wire.text


@pytest.fixture
def verdict_comes(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let judges answer when this is set."""
    send, event = pipeline.provider.send, asyncio.Event()

    async def wait(request: object, *rest: object) -> object:
        if b"guard-model" in request.body:  # type: ignore[attr-defined]
            await event.wait()
        return await send(request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.provider, "send", wait)
    return event


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_judge_that_only_logs_holds_up_nothing(
    pipeline: Pipeline, verdict_comes: asyncio.Event, *, stream: bool
) -> None:
    pipeline.guard(policies=[policy(mode="log", phases=["input", "output"])])
    answer = "Two." if stream else "Fine."
    pipeline.provider.verdict_on = lambda asked: UNSAFE if answer in str(asked) else SAFE
    if stream:
        pipeline.provider.stream(chat_chunks([{"content": answer}]))
    wire = await pipeline.post(INVOCATIONS, asking("Count", stream=stream))
    assert wire.status == 200
    assert answer in wire.text
    # Its row waits for them.
    assert pipeline.ledger.records == []
    verdict_comes.set()
    await pipeline.inference.finish(120)
    *_, record = pipeline.ledger.records
    assert record.guard is not None
    verdict = record.guard.verdict()
    assert (verdict.action, verdict.policy, verdict.phase) == ("would_block", "p", "output")
    checks = "modelplane_guardrail_checks_total"
    told = {"phase": "output", "action": "would_block"}
    assert pipeline.registry.get_sample_value(checks, told) == 1


async def test_a_verdict_that_does_not_come_costs_no_row(
    pipeline: Pipeline, verdict_comes: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.guard(policies=[policy(mode="log", phases=["input"])])
    await pipeline.post(INVOCATIONS, asking("Hi"))
    await pipeline.inference.finish(0)
    assert not verdict_comes.is_set()
    *_, record = pipeline.ledger.records
    assert record.guard is not None
    assert record.guard.verdict().action == "none"
    # Nor does one that is not asked for.
    monkeypatch.setattr(Aside, "start", lambda *_: None)
    await pipeline.post(INVOCATIONS, asking("Hi again"))
    assert pipeline.ledger.records[-1].endpoint.name == "chat"  # type: ignore[union-attr]
    told = {"phase": "input"}
    name = "modelplane_guardrail_unjudged_total"
    assert pipeline.registry.get_sample_value(name, told) == 1


@pytest.mark.usefixtures("verdict_comes")
async def test_a_judge_has_a_deadline(pipeline: Pipeline) -> None:
    pipeline.guard(policies=[policy(judge={**GUARD, "timeout_seconds": 0.1})])
    wire = await pipeline.post(INVOCATIONS, asking("Hi"))
    assert wire.status == 503
