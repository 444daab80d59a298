"""Models that think and call tools: the documentation's example at each such provider."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from modelserving.v1.external_model_pb2 import ExternalModel
from openai import OpenAI

from tests.docs.blocks import ROOT, find_blocks
from tests.e2e.references import create_by_reference
from tests.e2e.rest import Json, Rest
from tests.e2e.system import System
from tests.emulators.amazon_bedrock.configs import external_model as bedrock
from tests.emulators.anthropic.cases import external_model as anthropic
from tests.emulators.emulator import Recorded
from tests.emulators.fleet import Fleet
from tests.emulators.google_cloud_vertex_ai.external_models import external_model as vertex

CHAT = "llm/v1/chat"
PAGE = ROOT / "docs" / "providers.md"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# The emulators call a tool that the prompt names by its name.
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]


def example() -> str:
    """Return the example of the page."""
    (code,) = (block.text for block in find_blocks(PAGE) if "reasoning_content" in block.text)
    return code


# Where Bedrock wants its own parameter in the place of the example's.
EFFORT = '"reasoning_effort": "low"'
THINKING = '"extra_body": {"thinking": {"type": "enabled", "budget_tokens": 1024}}'


def claude_thoughts(sent: Recorded) -> list[Any]:
    return [block for block in sent.body["messages"][1]["content"] if block["type"] == "thinking"]


def bedrock_thoughts(sent: Recorded) -> list[Any]:
    blocks = sent.body["messages"][1]["content"]
    return [block["reasoningContent"] for block in blocks if "reasoningContent" in block]


def gemini_thoughts(sent: Recorded) -> list[Any]:
    parts = sent.body["contents"][1]["parts"]
    return [part["thoughtSignature"] for part in parts if "functionCall" in part]


@pytest.mark.parametrize(
    ("model", "thoughts"),
    [
        (anthropic("claude-sonnet-4-5", CHAT), claude_thoughts),
        (bedrock("claude-sonnet-4-20250514-v1:0", "anthropic", "chat"), bedrock_thoughts),
        (vertex("gemini-3-pro-preview", CHAT), gemini_thoughts),
    ],
    ids=lambda one: one.provider if isinstance(one, ExternalModel) else "",
)
def test_thoughts_go_back_signed(
    system: System,
    rest: Rest,
    fleet: Fleet,
    model: ExternalModel,
    thoughts: Callable[[Recorded], list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    create_by_reference(rest, "claude", "thinker", model)
    with OpenAI(api_key=system.token, base_url=f"{system.url}/serving-endpoints") as client:
        names: Json = {"client": client, "tools": TOOLS}
        code = example()
        assert EFFORT in code
        if model.provider == "amazon-bedrock":
            code = code.replace(EFFORT, THINKING)
        exec(compile(code, PAGE.name, "exec"), names)
    assert "rain" in capsys.readouterr().out
    first, second = fleet.emulators[model.provider].requests[-2:]
    said = names["said"].model_dump()
    [thought] = thoughts(second)
    signed = [*(said.get("thinking_blocks") or ()), *said["tool_calls"]]
    signature = thought if isinstance(thought, str) else find_signature(thought)
    assert signature in json.dumps(signed)
    assert signature not in json.dumps(first.body)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (anthropic("claude-sonnet-4-5", CHAT), {"reasoning_effort": "low"}),
        (
            bedrock("claude-sonnet-4-20250514-v1:0", "anthropic", "chat"),
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        (vertex("claude-sonnet-4@20250514", CHAT), {"reasoning_effort": "low"}),
        (vertex("gemini-3-pro-preview", CHAT), {"reasoning_effort": "low"}),
    ],
    ids=lambda one: one.name if isinstance(one, ExternalModel) else "",
)
def test_a_client_that_keeps_only_openais_fields_gets_a_second_turn(
    rest: Rest, model: ExternalModel, wanted: Json
) -> None:
    create_by_reference(rest, "forgetful", "thinker", model)
    asked = {"tools": TOOLS, **wanted}
    messages: list[Json] = [{"role": "user", "content": "weather in Bern"}]
    said = rest.query("forgetful", {"messages": messages, **asked}).json()["choices"][0]["message"]
    kept = {name: said[name] for name in ("role", "content", "tool_calls")}
    for call in kept["tool_calls"]:
        call.pop("extra_content", None)
    result = {"role": "tool", "tool_call_id": kept["tool_calls"][0]["id"], "content": "rain"}
    answer = rest.query("forgetful", {"messages": [*messages, kept, result], **asked})
    assert answer.status_code == 200, answer.text
    assert "rain" in answer.text
    assert "not in the messages" in answer.headers["x-modelplane-adapted-params"] or (
        "thought_signature=missing" in answer.headers["x-modelplane-adapted-params"]
    )


def find_signature(thought: Json) -> str:
    signature = thought.get("signature") or thought["reasoningText"]["signature"]
    assert isinstance(signature, str)
    return signature
