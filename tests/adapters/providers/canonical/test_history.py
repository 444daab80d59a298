"""Histories of chats, whatever their order: what is arranged, and what each provider is sent."""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelplane.adapters.providers.canonical.history import NOTHING_SAID, arrange
from modelplane.adapters.providers.canonical.messages import read_messages
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.types import Query, Task
from tests.adapters.providers.conformance import (
    CASES,
    CapturedReply,
    Gateway,
    ProviderCase,
    open_gateway,
)
from tests.adapters.providers.test_properties import running
from tests.effort import times

TOOL = {
    "type": "function",
    "function": {
        "name": "w",
        "parameters": {"type": "object", "properties": {"c": {"type": "string"}}},
    },
}
# The adapters that translate histories; the others pass them on as they are.
TRANSLATED = ("anthropic", "cohere", "ai21labs", "amazon-bedrock", "google-cloud-vertex-ai")
CHATS = [
    case
    for case in CASES
    if case.task == Task.CHAT and case.provider in TRANSLATED and case.variant != "chat-bison"
]
each_chat = pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)


def user(content: Any = "?") -> dict[str, Any]:
    return {"role": "user", "content": content}


def called(*names: str, content: str | None = None) -> dict[str, Any]:
    """Return an assistant's message with calls, each with its own id as its argument."""
    return {"role": "assistant", "content": content, "tool_calls": [call(one) for one in names]}


def call(name: str, call_id: str | None = None) -> dict[str, Any]:
    function = {"name": "w", "arguments": json.dumps({"c": name})}
    return {"id": call_id or name, "type": "function", "function": function}


def result(name: str, call_id: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id or name, "content": f"of {name}"}


def arranged(*messages: Any, prefill: bool = False) -> tuple[list[Any], tuple[str, ...]]:
    """Return role, texts and ids of each message of each turn, and what was noted."""
    parameters = Parameters("p", Query({}, stream=False))
    read = read_messages("p", {"messages": [*messages]})
    system, turns = arrange(parameters, read, prefill=prefill)
    shown = [[one.text for one in system]]
    for turn in turns:
        shown.append([turn.role])
        for one in turn.messages:
            shown[-1].append(one.text + one.tool_call_id + "".join(c.id for c in one.tool_calls))
    return shown, parameters.adapted


@pytest.mark.parametrize(
    ("messages", "turns", "notes"),
    [
        ([user("a")], [["user", "a"]], []),
        (
            [user("a"), called("A", "B"), result("B"), result("A")],
            [["user", "a"], ["assistant", "AB"], ["user", "of AA", "of BB"]],
            [],
        ),
        (
            [user("a"), called("A", "B"), result("B"), user("b"), result("A")],
            [["user", "a"], ["assistant", "AB"], ["user", "of AA", "of BB", "b"]],
            [],
        ),
        (
            [user("a"), called("A"), {"role": "assistant", "content": "x"}, result("A"), user("b")],
            [
                ["user", "a"],
                ["assistant", "A"],
                ["user", "of AA"],
                ["assistant", "x"],
                ["user", "b"],
            ],
            [],
        ),
        (
            [user("a"), called("A"), result("A"), called("A"), result("A")],
            [
                ["user", "a"],
                ["assistant", "A"],
                ["user", "of AA"],
                ["assistant", "A_2"],
                ["user", "of AA_2"],
            ],
            [],
        ),
        (
            [user("a"), {"role": "assistant", "content": " "}, user("b")],
            [["user", "a", "b"]],
            ["messages=blank texts left out", "messages=blank turn of the assistant left out"],
        ),
        (
            [user("a"), {"role": "assistant", "content": "x"}, user("")],
            [["user", "a"], ["assistant", "x"], ["user", NOTHING_SAID]],
            ["messages=blank turn of the user filled in"],
        ),
        (
            [{"role": "assistant", "content": "welcome"}, user("a")],
            [["user", NOTHING_SAID], ["assistant", "welcome"], ["user", "a"]],
            ["messages=a turn of the user put first"],
        ),
        ([user(""), user("b")], [["user", "b"]], []),
    ],
)
def test_turns(messages: list[Any], turns: list[Any], notes: list[str]) -> None:
    assert arranged(*messages) == ([[], *turns], tuple(notes))


def test_what_the_system_says_comes_first_and_alone_needs_an_answerer() -> None:
    system = {"role": "system", "content": "s"}
    moved = "messages=system moved to the front"
    assert arranged(user("a"), system) == ([["s"], ["user", "a"]], (moved,))
    shown, _ = arranged(system)
    assert shown == [["s"], ["user", NOTHING_SAID]]


def test_thoughts_without_what_came_of_them_are_left_out() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    shown, _ = arranged(user("a"), {"role": "assistant", "content": [thought]}, user("b"))
    assert shown == [[], ["user", "a", "b"]]


def test_a_model_may_go_on_from_what_the_assistant_says() -> None:
    messages = [user("a"), {"role": "assistant", "content": "Once \n"}]
    shown, notes = arranged(*messages, prefill=True)
    assert shown[-1] == ["assistant", "Once"]
    assert notes == ("messages=blanks at the end removed",)
    with pytest.raises(RequestRefused) as refused:
        arranged(*messages)
    assert "last of 'messages'" in str(refused.value.detail)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "at least one message"),
        ([user(), called("A", "B"), result("A")], "no result of the call 'B'"),
        ([user(), called("A")], "no result of the call 'A'"),
        ([user(), result("A")], "'tool_call_id' 'A'"),
        ([user(), called("A"), result("A"), result("A")], "one result too many"),
    ],
)
def test_calls_and_results_find_each_other(messages: list[Any], words: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        arranged(*messages)
    assert words in str(refused.value.detail)


examples = settings(
    max_examples=times(15, 250),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_BLANKS = st.sampled_from(["", " ", "\n\t", None, [], [{"type": "text", "text": " "}]])
_SAID = st.sampled_from(["a", "b c", " d "])


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a chat that OpenAI takes but for its order: results anywhere, and blank turns."""
    messages: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for turn in range(draw(st.integers(0, 3))):
        messages += [user(draw(_SAID | _BLANKS)) for _ in range(draw(st.integers(0, 2)))]
        names = [f"t{turn}c{at}" for at in range(draw(st.integers(0, 3)))]
        # Some models give each turn's calls the same ids.
        ids = draw(st.sampled_from([names, [f"same{at}" for at in range(len(names))]]))
        said = draw(_SAID | _BLANKS)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if names:
            message["tool_calls"] = [call(*one) for one in zip(names, ids, strict=True)]
        messages.append(message)
        own = [result(*one) for one in zip(names, ids, strict=True)]
        if ids == names:
            results += own
        else:
            messages += draw(st.permutations(own))
    messages.append(user(draw(_SAID | _BLANKS)))
    for one in results:
        after = next(at for at, m in enumerate(messages) if made(m, one["tool_call_id"]))
        messages.insert(draw(st.integers(after + 1, len(messages) - 1)), one)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(messages) - 1))
        messages.insert(place, {"role": "system", "content": draw(_SAID | _BLANKS)})
    return messages


def made(message: Mapping[str, Any], call_id: str) -> bool:
    return any(one["id"] == call_id for one in message.get("tool_calls") or ())


@each_chat
def test_any_history_is_taken_and_each_result_is_with_its_call(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @examples
        @given(messages=histories())
        def check(messages: list[dict[str, Any]]) -> None:
            body = {"messages": messages, "tools": [TOOL], "n": 1}
            outcome = runner.run(gateway.outcome(stream=False, **deepcopy(body)))
            assert isinstance(outcome, CapturedReply), getattr(outcome, "detail", outcome)
            names = [one for message in messages for one in arguments(message)]
            assert sorted(pairs(case, last_body(gateway))) == sorted(
                (name, f"of {name}") for name in names
            )

        check()


def arguments(message: Mapping[str, Any]) -> list[str]:
    return [json.loads(c["function"]["arguments"])["c"] for c in message.get("tool_calls") or ()]


def last_body(gateway: Gateway) -> dict[str, Any]:
    body: dict[str, Any] = gateway.emulator.requests[-1].body  # type: ignore[attr-defined]
    return body


def pairs(case: ProviderCase, body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the argument of each call in a request, and the result that belongs to it there."""
    if case.provider == "google-cloud-vertex-ai" and "contents" in body:
        return list(_pairs_by_place(body["contents"]))
    read: Callable[[dict[str, Any]], Iterator[tuple[str, str, bool]]] = {
        "amazon-bedrock": _of_converse,
        "anthropic": _of_claude,
        "google-cloud-vertex-ai": _of_claude,
    }.get(case.provider, _of_openai)
    found = list(read(body))
    results = {name: text for name, text, is_call in found if not is_call}
    assert len(results) * 2 == len(found)
    return [(text, results[name]) for name, text, is_call in found if is_call]


def _pairs_by_place(contents: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    waiting: list[str] = []
    for turn in contents:
        for part in turn["parts"]:
            if "functionCall" in part:
                waiting.append(part["functionCall"]["args"]["c"])
            elif "functionResponse" in part:
                yield waiting.pop(0), part["functionResponse"]["response"]["output"]
    assert not waiting


def _of_claude(body: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_use":
                yield block["id"], block["input"]["c"], True
            elif block["type"] == "tool_result":
                yield block["tool_use_id"], block["content"], False


def _of_converse(body: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for block in (block for message in body["messages"] for block in message["content"]):
        if use := block.get("toolUse"):
            yield use["toolUseId"], use["input"]["c"], True
        elif given := block.get("toolResult"):
            yield given["toolUseId"], given["content"][0]["text"], False


def _of_openai(body: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for message in body["messages"]:
        for one in message.get("tool_calls") or ():
            yield one["id"], json.loads(one["function"]["arguments"])["c"], True
        if message["role"] == "tool":
            yield message["tool_call_id"], message["content"], False


async def test_results_in_the_callers_order_reach_gemini_in_that_of_the_calls() -> None:
    case = next(case for case in CHATS if case.variant == "gemini-1.5-pro")
    async with open_gateway(case) as gateway:
        messages = [user(), called("Bern", "Oslo"), result("Oslo"), result("Bern")]
        await gateway.ask(stream=False, messages=messages, tools=[TOOL])
        assert pairs(case, last_body(gateway)) == [("Bern", "of Bern"), ("Oslo", "of Oslo")]
