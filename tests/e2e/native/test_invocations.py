"""Queries of the Responses API that are sent where all queries of an endpoint may be."""

import json

import pytest

from tests.e2e.native.speakers import Responses
from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.e2e.test_usage import ended
from tests.emulators.openai import OpenAiEmulator

SPEAKER = Responses()
TRACKED: Json = {"usage_tracking_config": {"enabled": True}}
OPENAI: Json = {
    "name": "gpt",
    "external_model": {
        "name": "gpt-4",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_key": "{{secrets/my_scope/my_openai_api_key}}"},
    },
}


def create(rest: Rest, served: Json) -> None:
    rest.create(endpoint("talk", served, ai_gateway=TRACKED))


def plain(text: str) -> str:
    """Return an answer without what is made anew for each."""
    answer = json.loads(text)
    answer["output"] = [{**item, "id": ""} for item in answer["output"]]
    return json.dumps(answer | {"id": "", "created_at": 0})


@pytest.mark.parametrize("passes", [True, False], ids=["passed", "translated"])
def test_it_is_answered_in_its_own_form(
    rest: Rest, provider: OpenAiEmulator, *, passes: bool
) -> None:
    create(rest, OPENAI if passes else entity(provider))
    body = SPEAKER.body("talk", "hello there")
    own, named = body | {"model": "whatever"}, dict(body)
    del body["model"]
    answers = [rest.query("talk", asked) for asked in (body, own)]
    answers.append(rest.send("POST", "/serving-endpoints/responses", named))
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    assert len({plain(answer.text) for answer in answers}) == 1
    assert SPEAKER.text(answers[0].json()).endswith("hello there")
    assert provider.requests[-1].path.endswith("/responses" if passes else "/chat/completions")

    rows = ended(rest, "talk", len(answers))
    assert len({(row["input_token_count"], row["output_token_count"]) for row in rows}) == 1


@pytest.mark.parametrize("passes", [True, False], ids=["passed", "translated"])
def test_it_may_be_streamed(rest: Rest, provider: OpenAiEmulator, *, passes: bool) -> None:
    create(rest, OPENAI if passes else entity(provider))
    body = SPEAKER.body("talk", "hello there", streams=True)
    answer = rest.query("talk", body)
    assert answer.status_code == 200, answer.text
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    whole = SPEAKER.total([json.loads(line.removeprefix("data: ")) for line in lines])
    assert SPEAKER.text(whole).endswith("hello there")
    # What fails after the query is understood is told in its form, too.
    provider.fail("gpt-4", status=401)
    refused = rest.query("talk", body)
    provider.faults.clear()
    assert refused.json()["message"] == SPEAKER.error_text(refused.json())


def test_what_a_chat_cannot_express_is_refused(rest: Rest, provider: OpenAiEmulator) -> None:
    create(rest, entity(provider))
    refused = rest.query("talk", {"input": "hello", "previous_response_id": "resp_1"})
    assert refused.status_code == 400
    assert "previous_response_id" in refused.json()["message"]
    both = rest.query("talk", {"input": "hello", "messages": [{"role": "user", "content": "a"}]})
    # Then it is a chat, in which there is no such field.
    assert both.status_code == 400
    past = "/serving-endpoints/talk/served-models/chat/invocations"
    refused = rest.send("POST", past, {"input": "hello"})
    assert refused.status_code == 400
    assert "/serving-endpoints/responses" in refused.json()["message"]
