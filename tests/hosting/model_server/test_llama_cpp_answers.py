"""What is told of llama.cpp's answers, without an engine."""

from typing import Any

from modelplane.launcher.model_server.language import Abilities, parse_question
from modelplane.launcher.model_server.llama_cpp_answers import Shaping, asked_of

CHAT = Abilities("llm/v1/chat", tools=False)
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}


def token(text: str, logprob: float, *others: str) -> dict[str, Any]:
    top = [{"id": 1, "token": one, "bytes": [1], "logprob": logprob} for one in (text, *others)]
    return {**top[0], "top_logprobs": top}


def test_chats_have_no_alternatives_that_were_not_asked_for() -> None:
    question = parse_question(MESSAGES | {"logprobs": True}, CHAT)
    assert asked_of(question)["top_logprobs"] == 1  # without, the engine would give none at all
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


def test_the_last_chunk_of_a_completion_has_its_usage_itself() -> None:
    body = {"prompt": "x", "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    shaping = Shaping(parse_question(body, CHAT), "m")
    assert shaping.shape_chunk(chunk(1, "stop", usage=usage(3)["usage"])) == []
    *ends, total = shaping.shape_chunk(chunk(0, "length", usage=usage(4)["usage"]))
    assert [one["choices"][0]["finish_reason"] for one in ends] == ["stop", "length"]
    assert "usage" not in ends[0]
    assert (total["choices"], total["usage"]["completion_tokens"]) == ([], 7)
    assert ends[1]["usage"] == total["usage"]
