"""`CheckGuardrails`: what is said of a text, and by whose guardrails."""

import json
from typing import Any

import pytest

from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.calls.refusals import settle
from modelplane.data_plane.checking import MAX_BODY_BYTES, MAX_TEXT_CHARACTERS
from modelplane.data_plane.errors import DataPlaneError
from modelplane.data_plane.hosts.grpc.http_body import HttpBodyReply
from tests.data_plane.guardrails.pipeline import Json, Pipeline, chat_answer
from tests.data_plane.guardrails.test_calls import MAIL
from tests.data_plane.messages import TOKEN, principal

MASKING = {"name": "m", "pii": {}, "action": "mask"}


class _Kept(HttpBodyReply):
    """Keeps the document."""

    def __init__(self) -> None:
        self.document = b""

    async def answer(self, metadata: object, document: bytes) -> None:
        del metadata
        self.document = document


@pytest.fixture
async def pipeline() -> Pipeline:
    made = Pipeline()
    made.guard()
    return made


async def check(pipeline: Pipeline, **body: object) -> Any:
    call = Call(Method.CHECK_GUARDRAILS, {"authorization": f"Bearer {TOKEN}"}, "r-1")
    call.body = json.dumps(body).encode()
    reply = _Kept()
    try:
        await pipeline.inference.answer(call, reply)
    except DataPlaneError as error:
        refusal = settle(error, "r-1")
        return refusal.status.http, refusal.message
    return json.loads(reply.document)


async def test_what_would_be_done_is_told_with_its_place(pipeline: Pipeline) -> None:
    text = f"Caf\u00e9 \u2026 ask {MAIL} of EMP-1234"
    logging = {
        "name": "staff",
        "patterns": {"expressions": ["EMP-[0-9]{4}"], "entity": "BADGE"},
        "mode": "log",
    }
    told = await check(pipeline, text=text, policies=[MASKING, logging])
    assert told["action"] == "MASK"
    assert told["text"] == "Caf\u00e9 \u2026 ask <EMAIL_ADDRESS> of EMP-1234"
    mail, badge = told["findings"]
    assert text[mail.pop("start") : mail.pop("end")] == MAIL
    assert mail == {"kind": "EMAIL_ADDRESS", "policy": "m", "action": "MASK", "mode": "enforce"}
    assert text[badge.pop("start") : badge.pop("end")] == "EMP-1234"
    assert badge == {"kind": "BADGE", "policy": "staff", "action": "BLOCK", "mode": "log"}


@pytest.mark.parametrize(("direction", "action"), [("INPUT", "BLOCK"), ("OUTPUT", "NONE")])
async def test_each_side_has_its_own(pipeline: Pipeline, direction: str, action: str) -> None:
    guardrails = {"input": {"invalid_keywords": ["falcon"]}}
    told = await check(pipeline, text="A falcon", direction=direction, guardrails=guardrails)
    assert told["action"] == action


async def test_those_of_an_endpoint_hold_as_for_a_query(pipeline: Pipeline) -> None:
    pipeline.guard({"input": {"pii": {"behavior": "MASK"}}})
    assert (await check(pipeline, name="chat", text=MAIL))["text"] == "<EMAIL_ADDRESS>"
    assert (await check(pipeline, name="judge", text=MAIL))["action"] == "NONE"
    assert not pipeline.provider.requests
    assert not pipeline.ledger.records


async def test_a_judge_is_asked(pipeline: Pipeline) -> None:
    judge = {"endpoint_name": "judge", "form": "llama_guard"}
    pipeline.provider.verdicts = [chat_answer({"content": "unsafe\nS1"})]
    told = await check(pipeline, text="Hi", policies=[{"name": "p", "judge": judge}])
    assert told["action"] == "BLOCK"
    [found] = told["findings"]
    assert found["policy"] == "p"
    pipeline.callers = {"principals": (principal("admin", admin=False),)}
    pipeline.guard()
    status, _ = await check(pipeline, text="Hi", policies=[{"name": "p", "judge": judge}])
    assert status == 404


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({}, 400, "'text' must be a text"),
        ({"text": "x" * (MAX_TEXT_CHARACTERS + 1)}, 400, "at most 100,000 characters"),
        ({"text": "x", "txt": 1}, 400, "no field 'txt'"),
        ({"text": "x", "direction": "UP"}, 400, "INPUT, OUTPUT"),
        ({"text": "x", "name": "ghost"}, 404, "does not exist"),
        ({"text": "x", "name": "chat", "policies": []}, 400, "leave out"),
        ({"text": "x", "policies": 5}, 400, "must be a list"),
        ({"text": "x", "policies": [5]}, 400, "cannot be read"),
        ({"text": "x", "policies": [{"name": "p"}]}, 400, "exactly one of"),
        ({"text": "x", "guardrails": {"input": {"pii": {"behavior": "X"}}}}, 400, "'X' is unknown"),
        ({"text": "x", "guardrails": {"input": {"safety": True}}}, 400, "needs a judge"),
        (
            {"text": "x", "policies": [{"name": "p", "patterns": {"expressions": ["(a+)+"]}}]},
            400,
            "without a bound",
        ),
        ({"text": "x", "more": "x" * MAX_BODY_BYTES}, 400, "at most 1048576 bytes"),
    ],
)
async def test_what_cannot_be_checked_is_refused(
    pipeline: Pipeline, body: Json, status: int, reason: str
) -> None:
    found, message = await check(pipeline, **body)
    assert found == status
    assert reason in message
