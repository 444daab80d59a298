"""AI21's chat and completions, against its SDK's types and its emulator's rules."""

import inspect
import json
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from ai21.clients.studio.resources.chat.async_chat_completions import AsyncChatCompletions
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.external_model_pb2 import Ai21LabsConfig, ExternalModel
from pydantic import TypeAdapter

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.ai21labs.provider import build_ai21labs_adapter
from modelplane.adapters.providers.route import RouteAdapter
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.reassembly import Chunks, every_split, parse_stream, reassemble
from tests.emulators.ai21labs import answers, schema

KEY = "ai21-very-secret"
USER: JsonObject = {"role": "user", "content": "call get_weather"}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
WEATHER: JsonObject = {"type": "function", "function": {"name": "get_weather"}}
CLOCK: JsonObject = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}
NO_PARAMETERS = {"type": "object", "properties": {}}
ASKED: JsonObject = {"prompt": "a b é"}


def build(task: str = "llm/v1/chat", name: str = "jamba-mini", key: str = KEY) -> RouteAdapter:
    config = Ai21LabsConfig(ai21labs_api_key_plaintext=key)
    model = ExternalModel(name=name, provider="ai21labs", task=task, ai21labs_config=config)
    return build_ai21labs_adapter(model, clock=lambda: 1_700_000_000.9)


def completions() -> RouteAdapter:
    return build("llm/v1/completions", "j2-mid")


def plan(
    body: JsonObject, adapter: RouteAdapter | None = None, *, stream: bool = False
) -> tuple[Any, Any]:
    planned = (adapter or build()).plan(Query(body, stream=stream), {})
    return [json.loads(request.body) for request in planned.requests], planned.adapted


def parse(body: JsonObject, *found: object, adapter: RouteAdapter | None = None) -> Any:
    raw = [HttpAnswer(200, {}, json.dumps(one).encode()) for one in found]
    parsed = (adapter or build()).parse_answers(Query(body, stream=False), raw)
    return json.loads(json.dumps(parsed))


def stream_chunks(*parts: bytes, body: JsonObject | None = None) -> Chunks:
    query = Query(body or {"messages": [USER]}, stream=True)
    return parse_stream(build().stream_parser(query), parts)


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def check_against_the_sdk(sent: JsonObject) -> None:
    """Validate a chat's body against the types of the SDK's own method."""
    hints = get_type_hints(AsyncChatCompletions.create)
    assert set(sent) <= set(inspect.signature(AsyncChatCompletions.create).parameters)
    for name, value in sent.items():
        hint = hints[name]
        if get_origin(hint) is Union or get_args(hint):
            # pydantic knows no schema of the SDK's own mark for what is absent.
            known = [one for one in get_args(hint) if getattr(one, "__name__", "") != "NotGiven"]
            hint = Union[tuple(known)] if len(known) < len(get_args(hint)) else hint  # noqa: UP007
        TypeAdapter(hint).validate_python(value)


def test_routes_and_headers() -> None:
    chat = build().plan(Query({"messages": [USER]}, stream=False), {}).requests[0]
    assert chat.url == "https://api.ai21.com/studio/v1/chat/completions"
    assert chat.headers == {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    complete = completions().plan(Query(ASKED, stream=False), {}).requests[0]
    assert complete.url == "https://api.ai21.com/studio/v1/j2-mid/complete"


@pytest.mark.parametrize("config", [{"key": ""}, {"key": "é"}, {"task": "llm/v1/embeddings"}])
def test_what_cannot_work_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(errors.ConfigRefused):
        build(**config)


def test_a_chat_with_every_parameter() -> None:
    body: JsonObject = {
        "model": "endpoint",
        "messages": [USER],
        "temperature": 0,
        "top_p": 1,
        "max_completion_tokens": 5,
        "stop": "end",
        "n": 2,
        "seed": 7,
        "frequency_penalty": 0,
        "presence_penalty": None,
        "logprobs": False,
        "response_format": {"type": "json_object"},
        "user": "me",
        "documents": [],
    }
    (sent,), adapted = plan(body)
    assert sent == {
        "model": "jamba-mini",
        "messages": [USER],
        "stream": False,
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 5,
        "stop": ["end"],
        "n": 2,
        "response_format": {"type": "json_object"},
        "documents": [],
    }
    assert adapted == ("user=dropped", "seed=dropped")
    schema.check_chat(sent)
    check_against_the_sdk(sent)


def test_a_long_conversation() -> None:
    second = CALL | {"id": "c2"}
    body: JsonObject = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, "b"], "name": "me"},
            {"role": "developer", "content": "be brief"},
            {"role": "assistant", "content": "both", "tool_calls": [CALL, second]},
            {"role": "tool", "tool_call_id": "c2", "content": "not json"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "{}"}]},
            {"role": "assistant", "tool_calls": [CALL | {"id": "c3"}], "reasoning_content": "hm"},
            {"role": "tool", "tool_call_id": "c3", "content": None},
        ],
        "tools": [WEATHER, CLOCK],
        "parallel_tool_calls": False,
    }
    (sent,), adapted = plan(body)
    call = CALL | {"function": {"name": "get_weather", "arguments": "{}"}}
    assert sent["messages"] == [
        {"role": "user", "content": "ab"},
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "both", "tool_calls": [call, call | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "{}"},
        {"role": "tool", "tool_call_id": "c2", "content": "not json"},
        {"role": "assistant", "content": None, "tool_calls": [call | {"id": "c3"}]},
        {"role": "tool", "tool_call_id": "c3", "content": ""},
    ]
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "get_weather", "parameters": NO_PARAMETERS}},
        CLOCK,
    ]
    assert adapted == (
        "messages.reasoning_content=dropped",
        "messages.name=dropped",
        "parallel_tool_calls=dropped",
    )
    schema.check_chat(sent)
    check_against_the_sdk(sent)


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_tool_choice_none_leaves_the_tools_out(choice: str | None) -> None:
    (sent,), adapted = plan({"messages": [USER], "tools": [WEATHER], "tool_choice": choice})
    assert ("tools" in sent) == (choice != "none")
    assert adapted == (("tool_choice=tools left out",) if choice == "none" else ())
    assert "tool_choice" not in sent


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"tools": [WEATHER], "tool_choice": "required"}, "'tool_choice'"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": "x"}}}, "'tool_choice'"),
        ({"tools": [{"type": "web_search"}]}, "'tools'"),
        ({"frequency_penalty": 0.5}, "'frequency_penalty'"),
        ({"logit_bias": {"1": 1}}, "'logit_bias'"),
        ({"logprobs": True}, "'logprobs'"),
        ({"reasoning_effort": "low"}, "'reasoning_effort'"),
        ({"response_format": {"type": "json_schema"}}, "'response_format'"),
        ({"stop": 3}, "'stop'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "image_url",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "tool_call_id"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "function_call"),
    ],
)
def test_what_jamba_cannot_take_is_refused_by_name(extra: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan({"messages": [USER], **extra})
    assert words in str(caught.value.detail)


def test_unknown_parameters_pass() -> None:
    (sent,), _ = plan({"messages": [USER], "documents": []})
    assert sent["documents"] == []


def test_a_whole_chat() -> None:
    answer = {
        "id": "r1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "é", "tool_calls": [CALL]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
        "meta": {"requestDurationMillis": 1},
    }
    assert parse({"messages": [USER]}, answer) == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "é",
                    "tool_calls": [CALL | {"function": {"name": "get_weather", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", {"finish_reason": "stop"}),
        ("length", {"finish_reason": "length"}),
        ("tool_calls", {"finish_reason": "tool_calls"}),
        ("endoftext", {"finish_reason": "stop"}),
        (None, {"finish_reason": "stop"}),
        ("NEW", {"finish_reason": "stop", "provider_finish_reason": "NEW"}),
    ],
)
def test_finish_reasons(reason: object, expected: JsonObject) -> None:
    chat = parse({"messages": [USER]}, {"choices": [{"message": {}, "finish_reason": reason}]})
    assert expected.items() <= chat["choices"][0].items()
    complete = {"completions": [{"data": {}, "finishReason": {"reason": reason}}]}
    completed = parse(ASKED, complete, adapter=completions())
    assert expected.items() <= completed["choices"][0].items()


def test_usage_is_estimated_where_there_is_none() -> None:
    chat = parse({"messages": [USER]}, {"choices": [{"message": {"content": "four"}}]})
    expected = {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5, "estimated": True}
    assert chat["usage"] == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"completions":[]}'])
def test_what_is_no_answer(body: bytes) -> None:
    for adapter in (build(), completions()):
        with pytest.raises(errors.MalformedAnswer):
            adapter.parse_answers(Query(ASKED, stream=False), (HttpAnswer(200, {}, body),))


@pytest.mark.parametrize("detail", ["no", [{"loc": ["body", "n"], "msg": "bad", "type": "x"}]])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.RequestRefused),
        (401, errors.CredentialRefused),
        (402, errors.QuotaExhausted),
        (403, errors.CredentialRefused),
        (404, errors.ModelNotFound),
        (422, errors.RequestRefused),
        (424, errors.UnusableAnswer),
        (429, errors.RateLimited),
        (500, errors.ProviderFailed),
        (503, errors.ProviderUnavailable),
        (530, errors.ProviderFailed),
    ],
)
def test_statuses(status: int, expected: type[Exception], detail: object) -> None:
    body = json.dumps({"detail": detail}).encode()
    error = build().parse_error(HttpAnswer(status, {"retry-after": "7"}, body))
    assert type(error) is expected
    assert error.detail == {"detail": detail}
    assert error.retry_after == 7


STREAM_BODY: JsonObject = {
    "messages": [{"role": "user", "content": "get_weather clock get_weather é€"}],
    "tools": [WEATHER, CLOCK],
}


def emulated(body: JsonObject) -> tuple[list[bytes], Any]:
    """Return the emulator's stream and whole answer to a chat."""
    (sent,), _ = plan(body, stream=True)
    schema.check_chat(sent)
    check_against_the_sdk(sent)
    return answers.chat_events(sent), answers.chat_answer(sent)


def test_the_chunks_of_a_stream() -> None:
    events, _ = emulated({"messages": [USER], "tools": [WEATHER]})
    chunks = stream_chunks(*events)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    call_id = deltas[1]["tool_calls"][0]["id"]
    opened = {"name": "get_weather", "arguments": ""}
    assert deltas == [
        {"role": "assistant"},
        {"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": opened}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["created"] for chunk in chunks} == {1_700_000_000}


def test_a_stream_split_anywhere_gives_the_same_chunks() -> None:
    events, _ = emulated(STREAM_BODY)
    query = Query(STREAM_BODY, stream=True)
    expected = stream_chunks(*events)
    splits = every_split(lambda: build().stream_parser(query), b"".join(events), step=3)
    assert all(chunks == expected for chunks in splits)


def test_a_stream_cut_after_any_event_is_truncated() -> None:
    events, _ = emulated(STREAM_BODY)
    for count in range(len(events)):
        with pytest.raises(errors.StreamTruncated):
            stream_chunks(*events[:count])


def test_an_end_marker_too_early_is_a_truncation() -> None:
    events, _ = emulated(STREAM_BODY)
    for parts in ([events[-1]], [events[0], events[-1]]):
        with pytest.raises(errors.StreamTruncated):
            stream_chunks(*parts)


def test_calls_without_an_index_are_known_by_their_id() -> None:
    def piece(*calls: JsonObject, reason: str | None = None) -> bytes:
        delta = {"tool_calls": list(calls)}
        return event({"id": "r", "choices": [{"delta": delta, "finish_reason": reason}]})

    def call(call_id: str, arguments: str, **named: str) -> JsonObject:
        return {"id": call_id, "function": {**named, "arguments": arguments}}

    chunks = stream_chunks(
        piece(call("a", '{"x"', name="f"), call("b", "", name="g")),
        piece(call("a", ":1}")),
        piece(reason="tool_calls"),
        b"data: [DONE]\n\n",
    )
    deltas = [one for chunk in chunks[:-1] for one in chunk["choices"][0]["delta"]["tool_calls"]]
    assert [(one["index"], one["function"]["arguments"]) for one in deltas] == [
        (0, '{"x"'),
        (1, ""),
        (0, ":1}"),
        (1, "{}"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"detail":"internal"}', errors.ProviderFailed),
        (b"{", errors.MalformedAnswer),
        (b"[]", errors.MalformedAnswer),
    ],
)
def test_an_error_in_a_stream(data: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        stream_chunks(b"data: " + data + b"\n\n")


@given(
    text=st.text(max_size=30),
    tools=st.lists(st.sampled_from([WEATHER, CLOCK]), max_size=2),
    limit=st.integers(1, 12),
)
def test_a_stream_adds_up_to_the_whole_answer(
    text: str, tools: list[JsonObject], limit: int
) -> None:
    body: JsonObject = {
        "messages": [{"role": "user", "content": f"clock get_weather clock {text}"}],
        "max_tokens": limit,
    }
    if tools:
        body["tools"] = tools
    events, whole = emulated(body)
    expected = parse(body, whole)
    found = reassemble(stream_chunks(*events, body=body))
    assert found == {name: value for name, value in expected.items() if name != "object"}


def test_a_completion_with_every_parameter() -> None:
    body: JsonObject = {
        "model": "endpoint",
        "prompt": ["one", "two"],
        "n": 2,
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0,
        "stop": " x",
        "logprobs": 3,
        "frequency_penalty": 0.5,
        "presence_penalty": 0,
        "echo": False,
        "seed": 1,
        "countPenalty": {"scale": 1, "applyToEmojis": False},
    }
    shared = {
        "numResults": 2,
        "maxTokens": 5,
        "temperature": 0,
        "topP": 0,
        "stopSequences": [" x"],
        "topKReturn": 3,
        "frequencyPenalty": {"scale": 0.5},
        "presencePenalty": {"scale": 0},
        "countPenalty": {"scale": 1, "applyToEmojis": False},
    }
    sent, adapted = plan(body, completions())
    assert sent == [shared | {"prompt": "one"}, shared | {"prompt": "two"}]
    assert adapted == ("seed=dropped",)
    for one in sent:
        schema.check_complete("j2-mid", one)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"echo": True}, "'echo'"),
        ({"suffix": "x"}, "'suffix'"),
        ({"best_of": 2}, "'best_of'"),
        ({"top_k": 5}, "'top_k'"),
        ({"logit_bias": {"1": 1}}, "'logit_bias'"),
        ({"prompt": [1, 2]}, "tokens"),
    ],
)
def test_refused_completions(extra: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan(ASKED | extra, completions())
    assert words in str(caught.value.detail)


def test_a_completion_cannot_be_streamed() -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan(ASKED, completions(), stream=True)
    assert "leave out 'stream'" in str(caught.value.detail)
    with pytest.raises(errors.RequestRefused):
        completions().stream_parser(Query(ASKED, stream=True))


def test_whole_completions_count_their_tokens() -> None:
    body: JsonObject = {"prompt": ["one", "two words"], "n": 2, "logprobs": 1}
    sent, _ = plan(body, completions())
    documents = [answers.complete_answer("j2-mid", one) for one in sent]
    found = parse(body, *documents, adapter=completions())
    assert [(one["index"], one["text"], one["finish_reason"]) for one in found["choices"]] == [
        (0, " j2-mid continues: one", "stop"),
        (1, " j2-mid continues: one (1)", "stop"),
        (2, " j2-mid continues: two words", "stop"),
        (3, " j2-mid continues: two words (1)", "stop"),
    ]
    assert found["choices"][0]["logprobs"] == {
        "tokens": [" j2-mid", " continues:", " one"],
        "token_logprobs": [-0.7, -1.1, -0.4],
        "top_logprobs": [{" j2-mid": -0.7}, {" continues:": -1.1}, {" one": -0.4}],
        "text_offset": [0, 7, 18],
    }
    assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19}
    assert (found["id"], found["object"], found["created"]) == (
        "1234",
        "text_completion",
        1_700_000_000,
    )


def test_a_completion_without_tokens_is_estimated() -> None:
    answer = {"completions": [{"data": {"text": "four"}}]}
    usage = parse({"prompt": "four"}, answer, adapter=completions())["usage"]
    expected = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "estimated": True}
    assert usage == expected


def test_nothing_shows_the_key() -> None:
    adapter = build()
    query = Query({"messages": [USER]}, stream=True)
    request = adapter.plan(query, {}).requests[0]
    assert KEY not in repr(adapter) + repr(request) + repr(adapter.stream_parser(query))
