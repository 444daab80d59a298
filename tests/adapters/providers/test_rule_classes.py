"""Each class of rule in `refusals.py` but those of schemas and order, over generated queries.

Properties of schemas are in `test_refusals.py`, those of the order of histories in
`canonical/test_history.py`. `docs/contributing/add-a-provider.md` lists all of them.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelplane.adapters.providers import refusals
from modelplane.adapters.providers.canonical.tool_names import NameRules
from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.schemas.rules import SchemaRules
from modelplane.adapters.providers.types import JsonObject, Task
from modelplane.adapters.shared.rpc.metadata import ADAPTED_PARAMS
from tests.adapters.providers.canonical.test_history import CHATS, TRANSLATED
from tests.adapters.providers.conformance import CASES, CapturedReply, ProviderCase
from tests.adapters.providers.test_properties import put_query, running
from tests.effort import times
from tests.emulators.amazon_bedrock.configs import external_model as at_bedrock
from tests.emulators.anthropic.blocks import sign
from tests.emulators.anthropic.cases import external_model as at_anthropic
from tests.emulators.google_cloud_vertex_ai.external_models import external_model as at_vertex

repeatable = settings(
    derandomize=True,
    deadline=None,
    max_examples=times(10, 100),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ROOT = Path(__file__).parents[3]


def named(case: ProviderCase) -> str:
    return case.name


def _claude(provider: str, name: str) -> ProviderCase:
    """Return the case of a provider's with another Claude."""
    case = next(one for one in CHATS if one.provider == provider)
    models = {
        "anthropic": lambda _: at_anthropic(name, Task.CHAT),
        "amazon-bedrock": lambda _: at_bedrock(name, "anthropic", "chat"),
        "google-cloud-vertex-ai": lambda _: at_vertex(name, Task.CHAT),
    }
    body: JsonObject = {"messages": [{"role": "user", "content": "hello"}]}
    return replace(case, model=models[provider], variant=name, body=body)


# One of each generation in the table of `refusals.py`, as far as a host has it.
CLAUDES = [
    *(
        _claude("anthropic", name)
        for name in (
            "claude-3-haiku-20240307",
            "claude-sonnet-4-5",
            "claude-opus-4-1-20250805",
            "claude-opus-4-6",
            "claude-opus-4-8",
        )
    ),
    *(
        _claude("amazon-bedrock", name)
        for name in (
            "claude-sonnet-4-20250514-v1:0",
            "claude-opus-4-1-20250805-v1:0",
            "claude-opus-4-6-v1:0",
            "claude-opus-4-8-v1:0",
        )
    ),
    _claude("google-cloud-vertex-ai", "claude-sonnet-4@20250514"),
]
# What callers may say, in range and out of it.
_SOME = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([-1, 0, 0.5, 1, 1.5, 2, 3, 9]),
        "top_p": st.sampled_from([-0.5, 0, 0.005, 0.5, 0.96, 1, 1.5]),
        "top_k": st.sampled_from([-1, 0, 1, 500, 501]),
        "n": st.sampled_from([0, 1, 2, 9, 17]),
        "stop": st.lists(st.sampled_from(["zzz", " ", "", "q"]), max_size=6) | st.just("zzz"),
        "frequency_penalty": st.sampled_from([-3, -2, 0, 0.5, 2, 3]),
        "presence_penalty": st.sampled_from([-3, -2, 0, 0.5, 2, 3]),
        "max_tokens": st.sampled_from([-1, 0, 1, 50, 4096]),
        "top_logprobs": st.sampled_from([0, 5, 21]),
        "logprobs": st.booleans(),
        "seed": st.integers(-1, 2**31),
    },
)


@pytest.mark.parametrize(
    "case",
    [
        *CLAUDES,
        *(one for one in CASES if one.task != Task.EMBEDDINGS and one.provider in TRANSLATED),
    ],
    ids=named,
)
def test_any_option_is_adapted_or_refused_before_it_is_sent(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @repeatable
        @given(options=_SOME)
        def check(options: dict[str, Any]) -> None:
            outcome = runner.run(put_query(gateway, {**case.body, **options}, stream=False))
            assert isinstance(outcome, CapturedReply | RequestRefused)

        check()


_NAMES = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
    | st.sampled_from(["a.b", "a:b", "1a", "-", "x" * 300, "ä", "f g"]),
    min_size=1,
    max_size=3,
    unique=True,
)


@pytest.mark.parametrize("case", CHATS, ids=named)
def test_any_names_of_tools_and_calls_are_taken_and_come_back(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @repeatable
        @given(names=_NAMES, ids=_NAMES)
        def check(names: list[str], ids: list[str]) -> None:
            calls = [
                {"id": one, "type": "function", "function": {"name": names[0], "arguments": "{}"}}
                for one in ids
            ]
            results = [{"role": "tool", "tool_call_id": one, "content": "r"} for one in ids]
            user = {"role": "user", "content": "?"}
            tools = [{"type": "function", "function": {"name": one}} for one in names]
            body = {
                "messages": [user, {"role": "assistant", "tool_calls": calls}, *results, user],
                "tools": tools,
                "n": 1,
            }
            outcome = runner.run(
                put_query(gateway, body | {"tool_choice": "required"}, stream=False)
            )
            if isinstance(outcome, RequestRefused):
                assert "tool_choice" in str(outcome.detail)
                outcome = runner.run(put_query(gateway, body, stream=False))
            assert isinstance(outcome, CapturedReply), outcome.detail
            message = outcome.document["choices"][0]["message"]
            came = [one["function"]["name"] for one in message.get("tool_calls") or ()]
            assert set(came) <= set(names)

        check()


_THOUGHTS = [{"type": "thinking", "thinking": "hm", "signature": sign("hm")}]
_THINKING = st.sampled_from(
    [
        {},
        {"reasoning_effort": "low"},
        {"reasoning_effort": "high"},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "enabled", "budget_tokens": 9000}},
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "disabled"}},
    ]
)


@st.composite
def _turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a chat some of whose turns have lost their thoughts."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "?"}]
    for turn in range(draw(st.integers(0, 3))):
        said: dict[str, Any] = {"role": "assistant", "content": draw(st.sampled_from(["a", None]))}
        if draw(st.booleans()):
            said["thinking_blocks"] = _THOUGHTS
        called = draw(st.booleans())
        if called:
            function = {"name": "f", "arguments": "{}"}
            said["tool_calls"] = [{"id": f"c{turn}", "type": "function", "function": function}]
        messages.append(said)
        if called:
            messages.append({"role": "tool", "tool_call_id": f"c{turn}", "content": "r"})
        if not called or draw(st.booleans()):
            messages.append({"role": "user", "content": "?"})
    if draw(st.integers(0, 4)) == 0:
        messages.append({"role": "assistant", "content": "Once"})
    return messages


@pytest.mark.parametrize("case", CLAUDES, ids=named)
def test_a_chat_goes_on_whatever_its_turns_have_lost(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @repeatable
        @given(
            messages=_turns(), wanted=_THINKING, choice=st.sampled_from([None, "auto", "required"])
        )
        def check(messages: list[Any], wanted: dict[str, Any], choice: str | None) -> None:
            tools = [{"type": "function", "function": {"name": "f"}}]
            body = {"messages": messages, "tools": tools, "tool_choice": choice, **wanted}
            outcome = runner.run(put_query(gateway, body, stream=False))
            if isinstance(outcome, RequestRefused):
                # What cannot be had: to go on from a text where a model does not, and an effort at
                # Bedrock.
                unknown = "has no counterpart at Bedrock" in str(outcome.detail)
                assert unknown or messages[-1]["role"] == "assistant", outcome.detail
                return
            assert isinstance(outcome, CapturedReply)
            sent = json.dumps(gateway.emulator.requests[-1].body)  # type: ignore[attr-defined]
            asked = bool(wanted) and wanted != {"thinking": {"type": "disabled"}}
            told = outcome.metadata.get(ADAPTED_PARAMS, "")
            kept = '"thinking": {' in sent or '"effort"' in sent
            assert kept or not asked or next(iter(wanted)) in told

        check()


def test_each_row_is_used_by_adapters_and_by_emulators_and_says_who_says_so() -> None:
    rows = {name for name in vars(refusals) if name.isupper() and not name.startswith("_")}
    rows |= {"claude_model"}
    adapters, emulators = ROOT / "adapters" / "providers", ROOT / "tests" / "emulators"
    assert not rows - set(_imported(adapters))
    # What nothing is known of, and what botocore itself refuses there.
    assert rows - set(_imported(emulators)) == {"NAMELESS_CLAUDE", "CONVERSE_RANGES"}
    for name in rows:
        row = getattr(refusals, name)
        if isinstance(row, SchemaRules | NameRules):
            assert row.source, name


def _imported(folder: Path) -> Iterator[str]:
    """Yield what the modules of a folder take from the table."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == refusals.__name__:
                yield from (alias.name for alias in node.names)


def test_the_ranges_of_converse_are_those_of_botocore() -> None:
    loader = botocore.loaders.Loader()
    shapes = loader.load_service_model("bedrock-runtime", "service-2")["shapes"]
    members = shapes["InferenceConfiguration"]["members"]
    own = {"temperature": "temperature", "topP": "top_p", "maxTokens": "max_tokens"}
    for name, ours in own.items():
        shape = shapes[members[name]["shape"]]
        assert refusals.CONVERSE_RANGES[ours] == (shape["min"], shape.get("max", inf)), name
