"""What is asked of a language model and said of its answers: the rules, without an engine."""

from typing import Any

import pytest

from modelplane.launcher.model_server.language import Abilities, parse_question
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
        (CHAT, {"messages": []}, "at least one message"),
        (CHAT, {"messages": ["x"]}, "one of the roles system"),
        (CHAT, {"messages": [{"role": ["user"], "content": "x"}]}, "one of the roles"),
        (CHAT, MESSAGES | {"temperature": "hot"}, "temperature must be a number from 0 to 2"),
        (CHAT, MESSAGES | {"temperature": True}, "temperature must be"),
        (CHAT, MESSAGES | {"top_p": 7}, "top_p must be a number from 0 to 1"),
        (CHAT, MESSAGES | {"presence_penalty": -3}, "presence_penalty must be"),
        (CHAT, MESSAGES | {"seed": 1.5}, "seed must be"),
        (CHAT, MESSAGES | {"top_k": 0}, "top_k must be"),
        (CHAT, MESSAGES | {"top_k": 1 << 31}, "from 1 to 2147483647"),
        (CHAT, MESSAGES | {"seed": 1 << 63}, "64 bits"),
        (CHAT, MESSAGES | {"n": 129}, "n must be a whole number from 1 to 128"),
        (CHAT, MESSAGES | {"max_tokens": 1 << 31}, "max_tokens must be"),
        (CHAT, MESSAGES | {"stop": 5}, "stop must be a text or a list"),
        (CHAT, MESSAGES | {"stop": ["x"] * 17}, "stop may have 16"),
        (CHAT, MESSAGES | {"logit_bias": [1]}, "logit_bias must be an object"),
        (CHAT, MESSAGES | {"logit_bias": {"5": "x"}}, "logit_bias must have a number"),
        (CHAT, MESSAGES | {"logit_bias": {"five": 1}}, "logit_bias must have a number"),
        (CHAT, {"prompt": "Hi", "echo": True}, "'echo'"),
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


def test_what_asks_for_nothing_is_left_out() -> None:
    body = {"prompt": "x", "echo": False, "suffix": "", "error_behavior": "error"}
    assert parse_question(body, CHAT).body == {"prompt": "x"}


def test_the_smaller_of_two_bounds_holds() -> None:
    body = MESSAGES | {"max_tokens": 9, "max_completion_tokens": 4}
    assert parse_question(body, CHAT).body["max_tokens"] == 4


def test_an_instruction_goes_before_each_text() -> None:
    body = {"input": ["a", "b"], "instruction": "Find:"}
    assert parse_question(body, EMBEDDINGS).body["input"] == ["Find: a", "Find: b"]
