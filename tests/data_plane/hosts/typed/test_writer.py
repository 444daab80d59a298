import math
from typing import Any

import orjson
import pytest
from google.protobuf.struct_pb2 import Struct
from modelserving.v1.chat_pb2 import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    ContentParts,
    Function,
    ImageUrl,
    NamedTool,
    TokenLogprob,
)
from modelserving.v1.completion_pb2 import (
    CompletionLogprobs,
    CompletionRequest,
    TextList,
    TokenList,
    TokenLists,
)

from modelplane.data_plane.errors import MalformedRequest
from modelplane.data_plane.hosts.typed.writer import write


def struct(**fields: Any) -> Struct:
    value = Struct()
    value.update(fields)
    return value


def test_only_what_is_set_is_written() -> None:
    assert write(ChatRequest()) == {}
    assert write(ChatRequest(temperature=0.0, n=0, user="", logprobs=False)) == {
        "temperature": 0,
        "n": 0,
        "user": "",
        "logprobs": False,
    }
    assert write(ChatMessage(text="")) == {"content": ""}


def test_content_is_a_text_or_parts() -> None:
    parts = [ContentPart(type="image_url", image_url=ImageUrl(url="u", detail="low"))]
    message = ChatMessage(role="user", parts=ContentParts(items=parts))
    assert write(message) == {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}],
    }


def test_a_tool_choice_is_a_word_or_an_object() -> None:
    assert write(ChatRequest(tool_mode="none")) == {"tool_choice": "none"}
    named = NamedTool(type="function", function=Function(name="f"))
    assert write(ChatRequest(named_tool=named)) == {
        "tool_choice": {"type": "function", "function": {"name": "f"}}
    }


def test_prompts_take_all_four_forms() -> None:
    tokens = TokenList(items=[1, 2])
    assert write(CompletionRequest(text="a")) == {"prompt": "a"}
    assert write(CompletionRequest(texts=TextList(items=["a"]))) == {"prompt": ["a"]}
    assert write(CompletionRequest(tokens=tokens)) == {"prompt": [1, 2]}
    assert write(CompletionRequest(token_lists=TokenLists(items=[tokens]))) == {"prompt": [[1, 2]]}


def test_integers_stay_integers() -> None:
    extra = struct(a=1, b=1.5, c=[0, -2], d={"e": True}, f=None, g="1", h=1e300)
    body = write(ChatRequest(extra_params=extra, temperature=1.0, logit_bias={"50256": -100}))
    assert orjson.dumps(body, option=orjson.OPT_SORT_KEYS) == (
        b'{"extra_params":{"a":1,"b":1.5,"c":[0,-2],"d":{"e":true},"f":null,"g":"1","h":1e+300},'
        b'"logit_bias":{"50256":-100},"temperature":1}'
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_in_json_is_refused(number: float) -> None:
    with pytest.raises(MalformedRequest, match=f"holds {number}, which is no number"):
        write(ChatRequest(top_p=number))


def test_a_number_that_is_missing_in_a_list_is_null() -> None:
    probabilities = CompletionLogprobs(token_logprobs=[math.nan, -0.5])
    assert write(probabilities) == {"token_logprobs": [None, -0.5]}


def test_extra_fields_lie_beside_the_others_which_win() -> None:
    extra = struct(text="other", cache_control={"type": "ephemeral"})
    assert write(ContentPart(type="text", text="own", extra_fields=extra)) == {
        "type": "text",
        "text": "own",
        "cache_control": {"type": "ephemeral"},
    }


def test_json_text_keeps_its_order() -> None:
    function = Function(name="f", parameters_json='{"z": 1, "a": {"y": 1.0, "b": []}}')
    assert orjson.dumps(write(function)) == (
        b'{"name":"f","parameters":{"z":1,"a":{"y":1.0,"b":[]}}}'
    )
    assert write(Function(parameters_json='{"a": 1}, "strict": true')) == {
        "parameters": '{"a": 1}, "strict": true'
    }


def test_a_message_has_one_order() -> None:
    function = Function(parameters_object=struct(z=1, a=[struct(y=1, b=2)], m=None))
    assert orjson.dumps(write(function)) == b'{"parameters":{"a":[{"b":2,"y":1}],"m":null,"z":1}}'


def test_bytes_are_numbers() -> None:
    assert write(TokenLogprob(bytes=b"\x00\xff")) == {"bytes": [0, 255]}
