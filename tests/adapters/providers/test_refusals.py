"""What providers refuse: nothing of it is sent, and the rules are those of the providers' SDKs."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from anthropic import transform_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.refusals import (
    CLAUDE_STRICT,
    CLAUDE_TOOL,
    COHERE_STRICT,
    GEMINI,
    NOVA_TOOL,
    claude_model,
)
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.schemas.fitting import SchemaUnfit, fit_schema
from modelplane.adapters.providers.schemas.json_schema import Words, inner_schemas
from modelplane.adapters.providers.schemas.rules import SchemaRules, find_faults
from modelplane.adapters.providers.types import Query, Task
from tests.adapters.providers.canonical.test_history import CHATS
from tests.adapters.providers.conformance import CASES, CapturedReply, ProviderCase
from tests.adapters.providers.schemas.examples import ARGUMENTS, SCHEMAS
from tests.adapters.providers.test_properties import put_query, running
from tests.effort import times
from tests.emulators.amazon_bedrock.cases import CASES as BEDROCK_CASES
from tests.emulators.anthropic.cases import external_model

examples = settings(
    max_examples=times(6, 250),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
each_chat = pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)
ASKED = {"messages": [{"role": "user", "content": "hello"}], "n": 1}


def tool(parameters: object, **more: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **more}}


def answer_format(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}


@each_chat
def test_any_tool_is_taken_with_all_its_arguments(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @examples
        @given(schema=ARGUMENTS, strict=st.booleans())
        def check(schema: dict[str, Any], *, strict: bool) -> None:
            body = {**ASKED, "tools": [tool(schema, strict=strict)]}
            outcome = runner.run(put_query(gateway, body, stream=False))
            assert isinstance(outcome, CapturedReply), outcome.detail
            sent = json.dumps(gateway.emulator.requests[-1].body)  # type: ignore[attr-defined]
            assert all(f'"{name}"' in sent for name in argument_names(schema))

        check()


def argument_names(schema: Mapping[str, Any]) -> set[str]:
    """Return the arguments that a schema names, those in the members of a union too."""
    names = set(schema.get("properties", {}))
    for union in ("anyOf", "oneOf", "allOf"):
        for member in schema.get(union, []):
            names |= argument_names(schema["$defs"]["b"] if "$ref" in member else member)
    return names


@each_chat
def test_what_is_reported_repeats_nothing_of_a_schema(case: ProviderCase) -> None:
    odd = "\nX-Odd: é"
    schema = {
        "type": "object",
        odd: odd,
        "properties": {odd: {"type": "string", "format": odd, "pattern": odd, "enum": [odd, 1]}},
        "patternProperties": {odd: {}},
        "anyOf": [{"required": [odd]}, {odd: 1}],
    }
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    for body in (
        {"tools": [tool(schema, strict=True)]},
        {"tools": [tool({"$ref": odd, "$defs": {odd: schema}}, strict=True)]},
        {"response_format": answer_format(schema), "tools": None},
    ):
        try:
            adapted = adapter.plan(Query({**ASKED, **body}, stream=False), {}).adapted
        except RequestRefused:
            continue
        assert all(note.isascii() and note.isprintable() for note in adapted)


@each_chat
def test_any_schema_of_an_answer_is_taken_or_refused_before_it_is_sent(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @examples
        @given(schema=SCHEMAS)
        def check(schema: dict[str, Any]) -> None:
            wanted = answer_format({"type": "object", **schema})
            body = {**ASKED, "response_format": wanted, "tools": None}
            runner.run(put_query(gateway, body, stream=False))

        check()


class Place(BaseModel):
    name: str = Field(min_length=1, description="Its name.")
    height: float | None = Field(default=None, ge=0, le=9000)
    tags: list[str] = Field(max_length=3)


class Trip(BaseModel):
    days: int = Field(ge=1, le=10)
    to: Place | str
    kind: str = Field(pattern="^a", default="a")


SDK_SCHEMAS = [Place.model_json_schema(), Trip.model_json_schema()]
SDK_SCHEMAS += [TypeAdapter(list[Trip]).json_schema(), {"anyOf": [*SDK_SCHEMAS]}]


@pytest.mark.parametrize("schema", SDK_SCHEMAS, ids=range(len(SDK_SCHEMAS)))
def test_claudes_strict_schemas_are_those_of_anthropics_sdk(schema: dict[str, Any]) -> None:
    theirs = transform_schema(deepcopy(schema))
    assert not [*find_faults(theirs, CLAUDE_STRICT)]
    ours = fit_schema(schema, CLAUDE_STRICT, Words())
    assert _keywords(ours) == _keywords(theirs)


def _keywords(schema: Any) -> Any:
    """Return the keywords of a schema and of those within it; descriptions are free."""
    names = schema.keys() - {"description", "title"}
    return sorted(names), sorted(
        (place, _keywords(inner)) for place, inner in inner_schemas(schema)
    )


@examples
@given(schema=SCHEMAS)
def test_whatever_the_sdk_sends_the_table_takes(schema: dict[str, Any]) -> None:
    try:
        theirs = transform_schema(deepcopy(schema))
    except Exception:  # noqa: BLE001 - what the SDK makes of odd schemas is its own business
        return
    faults = [one for one in find_faults(theirs, CLAUDE_STRICT) if "itself" not in one.reason]
    assert not [one for one in faults if "keyword" in one.reason or "format" in one.reason]


@pytest.mark.parametrize(
    ("rules", "schema", "reason"),
    [
        (CLAUDE_TOOL, {"type": "object", "anyOf": []}, "at the root"),
        (CLAUDE_TOOL, {"type": "object", "properties": {"a": {"$id": "x"}}}, "'$id'"),
        (CLAUDE_STRICT, {"type": "integer", "minimum": 1}, "'minimum'"),
        (CLAUDE_STRICT, {"type": "object"}, "additionalProperties"),
        (CLAUDE_STRICT, {"type": "string", "format": "regex"}, "'regex'"),
        (CLAUDE_STRICT, {"type": "array", "minItems": 2}, "minItems"),
        (CLAUDE_STRICT, {"enum": [{}]}, "no plain value"),
        (CLAUDE_STRICT, {"anyOf": [{"$ref": "#"}]}, "itself"),
        (NOVA_TOOL, {"type": "object", "description": "d"}, "at the root"),
        (NOVA_TOOL, {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}, "'$ref'"),
        (GEMINI, {"anyOf": [], "title": "t"}, "only field"),
        (GEMINI, {"type": "OBJECT", "properties": {"a": {}}}, "no type"),
        (GEMINI, {"type": "string"}, "not known"),
        (GEMINI, {"type": "ARRAY"}, "no items"),
        (GEMINI, {"type": "INTEGER", "enum": [1]}, "no text"),
        (GEMINI, {"type": "OBJECT", "required": ["a"]}, "no property"),
        (COHERE_STRICT, {"type": "string", "pattern": "^a"}, "'^a'"),
        (COHERE_STRICT, {"type": "object", "properties": {"a": {}}}, "is required"),
    ],
)
def test_a_fault_is_found(rules: SchemaRules, schema: dict[str, Any], reason: str) -> None:
    assert reason in " ".join(fault.reason for fault in find_faults(schema, rules))
    assert rules.source


@pytest.mark.parametrize(
    ("rules", "schema", "fitted", "notes"),
    [
        (
            CLAUDE_STRICT,
            {"type": "integer", "minimum": 1, "description": "d"},
            {"type": "integer", "description": "d\n\n{minimum: 1}"},
            ["s.minimum=told in words"],
        ),
        (CLAUDE_STRICT, {"oneOf": [{"type": "null"}]}, {"anyOf": [{"type": "null"}]}, []),
        (
            CLAUDE_STRICT,
            {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": False,
            },
            [],
        ),
        (
            COHERE_STRICT,
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                "additionalProperties": False,
            },
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            ["s.required=one property added"],
        ),
        (
            COHERE_STRICT,
            {"type": "string", "pattern": "^a$", "format": "email"},
            {"type": "string", "description": '{pattern: "^a$", format: "email"}'},
            ["s.pattern=told in words", "s.format=told in words"],
        ),
    ],
)
def test_a_schema_is_fitted(
    rules: SchemaRules, schema: dict[str, Any], fitted: dict[str, Any], notes: list[str]
) -> None:
    words = Words()
    assert fit_schema(schema, rules, words) == fitted
    assert [*words.notes("s")] == notes


@pytest.mark.parametrize(
    ("rules", "schema"),
    [
        (CLAUDE_STRICT, {"type": "array", "items": {"$ref": "#"}}),
        (
            CLAUDE_STRICT,
            {
                "type": "object",
                "properties": {str(at): {"type": ["string", "null"]} for at in range(17)},
            },
        ),
        (COHERE_STRICT, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ],
)
def test_a_schema_that_cannot_be_fitted_says_why(
    rules: SchemaRules, schema: dict[str, Any]
) -> None:
    with pytest.raises(SchemaUnfit) as unfit:
        fit_schema(schema, rules, Words())
    assert str(unfit.value)


def claude(model: str, **body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is sent to a Claude, and what was adapted."""
    adapter = build_adapter(external_model(model, Task.CHAT))
    plan = adapter.plan(Query({**ASKED, "max_tokens": 9000, **body}, stream=False), {})
    return json.loads(plan.requests[0].body), plan.adapted


def test_strict_tools_are_strict_as_far_as_claude_goes() -> None:
    plain = tool({"type": "object", "properties": {"a": {"type": "string"}}}, strict=True)
    own = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    body, adapted = claude("claude-sonnet-4-5", tools=[plain] * 21 + [tool(own, strict=True)])
    assert [one.get("strict") for one in body["tools"]] == [True] * 20 + [None] * 2
    assert [note for note in adapted if "strict" in note] == [
        "tools.strict=dropped where it would be too much",
        "tools.strict=dropped where the schema cannot be followed",
    ]


@pytest.mark.parametrize(
    ("model", "given", "sent", "dropped"),
    [
        ("claude-sonnet-4-20250514", {"temperature": 0.5, "top_p": 0.5}, 2, []),
        ("claude-opus-4-1-20250805", {"temperature": 0.5, "top_p": 0.5}, 1, ["top_p=dropped"]),
        ("claude-opus-4-1-20250805", {"top_p": 0.5}, 1, []),
        (
            "claude-opus-4-8",
            {"temperature": 0.5, "top_p": 0.5, "top_k": 5},
            0,
            ["temperature=dropped", "top_p=dropped", "top_k=dropped"],
        ),
    ],
)
def test_a_claude_takes_the_samplers_of_its_generation(
    model: str, given: dict[str, Any], sent: int, dropped: list[str]
) -> None:
    body, adapted = claude(model, **given)
    assert len(body.keys() & {"temperature", "top_p", "top_k"}) == sent
    assert [*adapted] == dropped


def test_a_name_that_says_nothing_is_believed() -> None:
    model = claude_model("arn:aws:bedrock:us-east-1:1:application-inference-profile/x1")
    assert (model.samplers, model.prefill) == (2, True)


CALLED = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "r"}
THOUGHT = {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}


@pytest.mark.parametrize(
    ("messages", "more", "thinks"),
    [
        ([CALLED | THOUGHT, RESULT], {}, True),
        ([CALLED, RESULT], {}, False),
        # Only the turn that led to the last results has to have its thoughts.
        ([CALLED, RESULT, CALLED | THOUGHT, RESULT], {}, True),
        ([CALLED, RESULT, {"role": "assistant", "content": "x"}, ASKED["messages"][0]], {}, True),  # type: ignore[index]
        ([{"role": "assistant", "content": "Once"}], {}, False),
        ([], {"tool_choice": "required"}, False),
        ([], {"tool_choice": "auto"}, True),
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_a_turn_without_its_thoughts_goes_on_without_thinking_and_says_so(
    messages: list[Any], more: dict[str, Any], *, native: bool, thinks: bool
) -> None:
    wanted: dict[str, Any] = (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}}
        if native
        else {"reasoning_effort": "low"}
    )
    asked = [*ASKED["messages"], *messages]  # type: ignore[misc]
    tools = [tool({"type": "object"})]
    body, adapted = claude("claude-sonnet-4-5", messages=asked, tools=tools, **wanted, **more)
    assert ("thinking" in body) is thinks
    name = next(iter(wanted))
    assert any(note.startswith(f"{name}=dropped") for note in adapted) is not thinks


def test_adaptive_thinking_needs_no_thoughts_before() -> None:
    messages = [*ASKED["messages"], CALLED, RESULT]  # type: ignore[misc]
    body, _ = claude("claude-opus-4-8", messages=messages, reasoning_effort="low")
    assert body["thinking"] == {"type": "adaptive"}


def test_a_model_without_budgets_thinks_as_it_can() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body, adapted = claude("claude-opus-4-8", thinking=thinking)
    assert body["thinking"] == {"type": "adaptive"}
    assert adapted == ("thinking=adaptive instead of a budget",)


def test_a_limit_that_nobody_set_leaves_room_for_the_callers_own_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8000}
    body, _ = claude("claude-sonnet-4-5", max_tokens=None, thinking=thinking)
    assert body["max_tokens"] == 4096 + 8000


def test_claude_at_bedrock_goes_on_without_thinking_too() -> None:
    case = next(case for case in BEDROCK_CASES if case.task == Task.CHAT)
    model = case.model("")
    model.name = "claude-sonnet-4-20250514-v1:0"
    adapter = build_adapter(model)
    thinking = {"type": "enabled", "budget_tokens": 2000}
    messages = [*ASKED["messages"], CALLED, RESULT]  # type: ignore[misc]
    body = {"messages": messages, "tools": [tool({"type": "object"})], "thinking": thinking}
    for more, reason in (
        ({}, "the thoughts before are not in the messages"),
        ({"messages": ASKED["messages"], "tool_choice": "required"}, "a tool is forced"),
    ):
        plan = adapter.plan(Query({**body, **more}, stream=False), {})
        assert "additionalModelRequestFields" not in json.loads(plan.requests[0].body)
        assert f"thinking=dropped: {reason}" in plan.adapted


def test_nova_is_told_of_a_tools_arguments_without_references_or_unions() -> None:
    model = next(case for case in BEDROCK_CASES if case.task == Task.CHAT).model("")
    model.name = "nova-lite-v1:0"
    model.amazon_bedrock_config.bedrock_provider = "amazon"
    schema = {
        "title": "T",
        "description": "Finds.",
        "oneOf": [{"$ref": "#/$defs/id"}, {"properties": {"name": {"type": "string"}}}],
        "$defs": {"id": {"properties": {"id": {"type": "string"}}, "required": ["id"]}},
    }
    body = {**ASKED, "tools": [tool(schema, description="d")]}
    plan = build_adapter(model).plan(Query(body, stream=False), {})
    (sent,) = json.loads(plan.requests[0].body)["toolConfig"]["tools"]
    assert sent["toolSpec"] == {
        "name": "f",
        "description": "d\n\nFinds.\n\nOne of these forms: (id); (name).",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
            }
        },
    }
    assert plan.adapted == ("tools=union of arguments folded",)


def test_every_service_that_folds_says_so() -> None:
    union: dict[str, Any] = {"anyOf": [{"properties": {"id": {}}}, {"properties": {"name": {}}}]}
    for case in CHATS:
        adapter = build_adapter(case.model("http://127.0.0.1:1"))
        plan = adapter.plan(Query({**ASKED, "tools": [tool(union)]}, stream=False), {})
        sent = plan.requests[0].body
        assert b'"id"' in sent
        assert b'"name"' in sent
        folds = case.provider in ("anthropic", "google-cloud-vertex-ai") or "claude" in case.variant
        assert ("tools=union of arguments folded" in plan.adapted) is folds


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values_out_of_range_are_adapted_or_refused(case: ProviderCase) -> None:
    if case.task == Task.EMBEDDINGS or case.provider not in {one.provider for one in CHATS}:
        return
    with running(case) as (gateway, runner):
        for name, value in (
            ("temperature", 2),
            ("temperature", 9),
            ("top_p", 0),
            ("top_p", 1.5),
            ("frequency_penalty", -1),
            ("presence_penalty", 1.5),
            ("n", 9),
            ("stop", list("abcdef")),
        ):
            body = {**case.body, name: value}
            outcome = runner.run(put_query(gateway, body, stream=False))
            assert isinstance(outcome, CapturedReply | RequestRefused)
