"""What is asked of a language model and said of its answers: the rules, without an engine."""

from typing import Any

import pytest

from modelplane.launcher.model_server.language import Abilities, Shaping, parse_question
from modelplane.launcher.model_server.refusals import Refused

CHAT = Abilities("llm/v1/chat", tools=False)
EMBEDDINGS = Abilities("llm/v1/embeddings", tools=False)
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("able", "body", "told"),
    [
        (CHAT, [], "JSON object"),
        (CHAT, {}, "messages or prompt"),
        (CHAT, MESSAGES | {"prompt": "Hi"}, "messages or prompt"),
        (CHAT, {"input": "Hi"}, "messages or prompt"),
        (Abilities("llm/v1/completions", tools=False), MESSAGES, "must have prompt"),
        (CHAT, MESSAGES | {"n_predict": 3, "id_slot": 1}, "'id_slot', 'n_predict'"),
        (CHAT, MESSAGES | {"max_tokens": -1}, "max_tokens must be"),
        (CHAT, MESSAGES | {"n": True}, "n must be"),
        (CHAT, MESSAGES | {"stream": 1}, "stream must be"),
        (CHAT, MESSAGES | {"stream_options": {"include_usage": True}}, "belongs to a stream"),
        (CHAT, MESSAGES | {"logprobs": 2}, "logprobs must be true or false"),
        (CHAT, MESSAGES | {"top_logprobs": 0}, "needs logprobs"),
        (CHAT, MESSAGES | {"logprobs": True, "top_logprobs": 21}, "from 0 to 20"),
        (CHAT, {"prompt": "Hi", "logprobs": 6}, "from 0 to 5"),
        (CHAT, {"prompt": ["Hi", "Ho"]}, "one text"),
        (CHAT, MESSAGES | {"response_format": {"type": "xml"}}, "response_format"),
        (CHAT, MESSAGES | {"response_format": {"type": "json_schema"}}, "json_schema.schema"),
        (CHAT, MESSAGES | {"tool_choice": "required"}, "cannot call tools"),
        (CHAT, MESSAGES | {"tool_choice": {"type": "function"}}, "cannot call tools"),
        (EMBEDDINGS, {"input": []}, "a text or a list"),
        (EMBEDDINGS, {"input": [1, 2]}, "a text or a list"),
        (EMBEDDINGS, {"input": ["a"] * 151}, "may have 150"),
        (EMBEDDINGS, {"input": "a", "instruction": 1}, "instruction"),
        (EMBEDDINGS, {"input": "a", "encoding_format": "hex"}, "float or base64"),
        (EMBEDDINGS, {"input": "a", "dimensions": 3}, "'dimensions'"),
    ],
)
def test_what_nothing_heeds_is_refused(able: Abilities, body: Any, told: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_question(body, able)
    assert caught.value.status == 400
    assert told in caught.value.message


def test_what_is_for_the_endpoint_does_not_reach_the_engine() -> None:
    body = MESSAGES | {"model": "m", "client_request_id": "1", "seed": None, "top_p": 0.5}
    question = parse_question([body], CHAT)
    assert question.body == MESSAGES | {"top_p": 0.5}
    assert not question.stream


def test_the_smaller_of_two_bounds_holds() -> None:
    body = MESSAGES | {"max_tokens": 9, "max_completion_tokens": 4}
    assert parse_question(body, CHAT).body["max_tokens"] == 4


def test_an_instruction_goes_before_each_text() -> None:
    body = {"input": ["a", "b"], "instruction": "Find:"}
    assert parse_question(body, EMBEDDINGS).body["input"] == ["Find: a", "Find: b"]


def token(text: str, logprob: float, *others: str) -> dict[str, Any]:
    top = [{"id": 1, "token": one, "bytes": [1], "logprob": logprob} for one in (text, *others)]
    return {**top[0], "top_logprobs": top}


def test_chats_have_no_alternatives_that_were_not_asked_for() -> None:
    question = parse_question(MESSAGES | {"logprobs": True}, CHAT)
    assert question.body["top_logprobs"] == 1  # without, the engine would give none at all
    answer = {"choices": [{"logprobs": {"content": [token("a", -3e38)]}}], "timings": {}}
    shaped = Shaping(question, "m").shape(answer)
    expected = {"token": "a", "logprob": -9999.0, "bytes": [1], "top_logprobs": []}
    assert shaped == {"model": "m", "choices": [{"logprobs": {"content": [expected]}}]}


def test_completions_have_probabilities_in_their_own_form() -> None:
    question = parse_question({"prompt": "x", "logprobs": 2}, CHAT)
    shaping = Shaping(question, "m")
    content = [token("ab", -1.0, "c"), token("d", -2.0, "e")]
    shaped = shaping.shape({"choices": [{"index": 0, "logprobs": {"content": content}}]})
    assert shaped["choices"][0]["logprobs"] == {
        "tokens": ["ab", "d"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"ab": -1.0, "c": -1.0}, {"d": -2.0, "e": -2.0}],
        "text_offset": [0, 2],
    }
    later = shaping.shape({"choices": [{"index": 0, "logprobs": {"content": [token("f", -1.0)]}}]})
    assert later["choices"][0]["logprobs"]["text_offset"] == [3]


def chunk(index: int, finish: str | None = None, **others: Any) -> dict[str, Any]:
    return {"id": f"of-{index}", "choices": [{"index": index, "finish_reason": finish}], **others}


def usage(said: int) -> dict[str, Any]:
    counts = {"completion_tokens": said, "prompt_tokens": 5, "total_tokens": 5 + said}
    return {"id": "u", "choices": [], "usage": counts}


def test_each_chunk_tells_the_usage_so_far() -> None:
    shaping = Shaping(parse_question(MESSAGES | {"stream": True}, CHAT), "m")
    timings = {"cache_n": 4, "prompt_n": 1, "predicted_n": 2}
    [first] = shaping.shape_chunk(chunk(0, timings=timings))
    assert first["usage"] == {
        "completion_tokens": 2,
        "prompt_tokens": 5,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert shaping.shape_chunk(chunk(0, "stop")) == []
    [last] = shaping.shape_chunk(usage(3))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["total_tokens"] == 8


def test_several_choices_have_one_usage_and_one_identifier() -> None:
    body = MESSAGES | {"stream": True, "n": 2, "stream_options": {"include_usage": True}}
    shaping = Shaping(parse_question(body, CHAT), "m")
    assert [one["id"] for one in shaping.shape_chunk(chunk(1))] == ["of-1"]
    assert shaping.shape_chunk(chunk(1, "stop")) == shaping.shape_chunk(usage(3)) == []
    assert shaping.shape_chunk(chunk(0, "length")) == []
    *ends, total = shaping.shape_chunk(usage(4))
    assert [one["choices"][0]["index"] for one in ends] == [1, 0]
    assert total["choices"] == []
    assert total["usage"] == {"completion_tokens": 7, "prompt_tokens": 5, "total_tokens": 12}
    assert {one["id"] for one in (*ends, total)} == {"of-1"}
