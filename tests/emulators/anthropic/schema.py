"""What a request may hold; `server` checks every request before it is answered.

Fields are tables, so that an unknown one is an error, as it is at the real API.
"""

from dataclasses import replace

from modelplane.adapters.providers.refusals import (
    CLAUDE_MOST_STRICT_TOOLS,
    CLAUDE_NAMES,
    CLAUDE_RANGES,
    CLAUDE_STRICT,
    CLAUDE_TOOL,
    claude_model,
)
from modelplane.adapters.providers.schemas.rules import (
    SchemaRules,
    count_optional,
    count_unions,
    find_faults,
)
from tests.emulators.anthropic.blocks import TEXT, blocks_of, check_messages
from tests.emulators.anthropic.errors import refusal, shaped
from tests.emulators.anthropic.models import Model
from tests.emulators.emulator import Json
from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    invalid,
    mapping,
    number,
    string,
    wrong_type,
)

_MIN_BUDGET = 1024
# Claude Code declares the dialect of each schema, and the API takes it.
_TAKEN = replace(CLAUDE_TOOL, refused=CLAUDE_TOOL.refused - {"$schema"})


def _stop(path: str, value: object) -> None:
    string(path, value)
    if not str(value).strip():
        raise invalid(path, "each stop sequence must contain non-whitespace")


def _name(path: str, value: object) -> None:
    string(path, value)
    if not CLAUDE_NAMES.take(str(value)):
        raise invalid(path, CLAUDE_NAMES.source)


def _input_schema(path: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    choice("object")(f"{path}.type", value.get("type"))
    _check_rules(path, value, _TAKEN)


def _output_schema(path: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    _check_rules(path, value, CLAUDE_STRICT)


def _check_rules(path: str, schema: Json, rules: SchemaRules) -> None:
    for fault in find_faults(schema, rules):
        raise invalid(f"{path}{fault.path.replace('/', '.')}", fault.reason)


_CACHE = mapping({"type": choice("ephemeral"), "ttl": choice("5m", "1h")}, ["type"])
_TOOL = mapping(
    {
        "type": choice("custom"),
        "name": _name,
        "description": string,
        "input_schema": _input_schema,
        "strict": boolean,
        "cache_control": _CACHE,
    },
    ["name", "input_schema"],
)
_CHOICE_FIELDS: dict[str, dict[str, Check]] = {
    "auto": {"type": anything, "disable_parallel_tool_use": boolean},
    "any": {"type": anything, "disable_parallel_tool_use": boolean},
    "tool": {"type": anything, "name": string, "disable_parallel_tool_use": boolean},
    "none": {"type": anything},
}
_USER_ID = mapping({"user_id": string})
_FORMAT = mapping({"type": choice("json_schema"), "schema": _output_schema}, ["type", "schema"])


def _tool_choice(path: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    choice(*_CHOICE_FIELDS)(f"{path}.type", value.get("type"))
    fields = _CHOICE_FIELDS[value["type"]]
    mapping(fields, ["name"] if "name" in fields else [])(path, value)


def _thinking(path: str, value: object) -> None:
    if isinstance(value, dict) and value.get("type") in ("disabled", "adaptive"):
        mapping({"type": anything})(path, value)
        return
    fields = {"type": choice("enabled"), "budget_tokens": integer(_MIN_BUDGET)}
    mapping(fields, ["type", "budget_tokens"])(path, value)


_SAMPLING: dict[str, Check] = {
    "temperature": number(*CLAUDE_RANGES["temperature"]),
    "top_p": number(*CLAUDE_RANGES["top_p"]),
    "top_k": integer(0),
}
_MESSAGES: dict[str, Check] = {
    "model": string,
    "messages": check_messages,
    "max_tokens": integer(1),
    "system": either({str: _stop, list: array(TEXT, 1)}, "a string or an array"),
    "stop_sequences": array(_stop),
    "stream": boolean,
    "metadata": _USER_ID,
    "service_tier": choice("auto", "standard_only"),
    "tools": array(_TOOL),
    "tool_choice": _tool_choice,
    "thinking": _thinking,
    "output_config": mapping(
        {"format": _FORMAT, "effort": choice("low", "medium", "high", "xhigh", "max")}
    ),
}
_COMPLETE: dict[str, Check] = {
    "model": string,
    "prompt": string,
    "max_tokens_to_sample": integer(1),
    "stop_sequences": array(_stop),
    "stream": boolean,
    "metadata": _USER_ID,
    **_SAMPLING,
}


def check_messages_body(body: Json, *, sampling: bool) -> None:
    """Refuse a body of the Messages API with unknown, missing or wrong fields.

    Args:
        body: The body.
        sampling: Whether the version asked for has sampling parameters.

    Raises:
        Refusal: What the real API would answer.
    """
    fields = _MESSAGES | _SAMPLING if sampling else _MESSAGES
    _check(body, fields, ("model", "messages", "max_tokens"))
    _check_tools(body)
    _check_strict(body)


def check_count_body(body: Json) -> Json:
    """Refuse a body of which tokens cannot be counted; return the message that it would make.

    Raises:
        Refusal: What the real API would answer.
    """
    for name in ("max_tokens", "stream", "metadata", "stop_sequences"):
        if name in body:
            raise refusal(f"{name}: Extra inputs are not permitted")
    whole = {**body, "max_tokens": 1}
    check_messages_body(whole, sampling=False)
    return whole


def check_complete_body(body: Json) -> None:
    """Refuse a body of the text completions API with unknown, missing or wrong fields.

    Raises:
        Refusal: What the real API would answer.
    """
    _check(body, _COMPLETE, ("model", "prompt", "max_tokens_to_sample"))
    prompt = body["prompt"]
    if not prompt.startswith("\n\nHuman:"):
        raise refusal('prompt must start with "\n\nHuman:" turn')
    if "\n\nAssistant:" not in prompt:
        raise refusal('prompt must end with "\n\nAssistant:" turn')


def check_for_model(body: Json, model: Model) -> None:
    """Refuse what depends on the model, or on several fields together.

    Raises:
        Refusal: What the real API would answer.
    """
    limit = body["max_tokens"]
    if limit > model.max_output_tokens:
        raise refusal(f"max_tokens: {limit} > {model.max_output_tokens}")
    roles = [message["role"] for message in body["messages"]]
    if "system" in roles and not model.directed:
        where = f"messages.{roles.index('system')}"
        raise refusal(f"{where}: role 'system' is not supported on this model")
    takes = claude_model(body["model"])
    _check_samplers(body, takes.samplers)
    if body["messages"][-1]["role"] == "assistant" and not takes.prefill:
        raise refusal(
            "This model does not support assistant message prefill. The conversation must end with "
            "a user message."
        )
    thinking = (body.get("thinking") or {}).get("type")
    if thinking in ("enabled", "adaptive"):
        if thinking not in takes.thinking:
            raise refusal(f"thinking.type: '{thinking}' is not supported by this model")
        _check_thinking(body)
    if "effort" in (body.get("output_config") or {}) and model.thinks != "adaptive":
        raise refusal("output_config.effort is not supported by this model")


def _check_samplers(body: Json, samplers: int) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if given and not samplers:
        raise refusal(f"`{given[0]}` is not supported by this model.")
    if samplers == 1 and {"temperature", "top_p"} <= set(given):
        raise refusal("`temperature` and `top_p` cannot both be specified for this model.")


def _check(body: Json, fields: dict[str, Check], required: tuple[str, ...]) -> None:
    for name in required:
        if name not in body:
            raise refusal(f"{name}: Field required")
    for name, value in body.items():
        if name not in fields:
            raise refusal(f"{name}: Extra inputs are not permitted")
        with shaped():
            fields[name](name, value)


def _check_tools(body: Json) -> None:
    names = [tool["name"] for tool in body.get("tools", [])]
    if len(set(names)) < len(names):
        raise refusal("tools: Tool names must be unique.")
    chosen = body.get("tool_choice")
    if chosen and not names:
        raise refusal("tool_choice: tool_choice may only be specified while providing tools")
    if chosen and chosen["type"] == "tool" and chosen["name"] not in names:
        raise refusal(f"tool_choice: Tool '{chosen['name']}' not found in provided tools")
    kinds = {block["type"] for message in body["messages"] for block in blocks_of(message)}
    if kinds & {"tool_use", "tool_result"} and not names:
        raise refusal("Requests which include `tool_use` or `tool_result` must define tools")


def _check_strict(body: Json) -> None:
    tools = [tool["input_schema"] for tool in body.get("tools", []) if tool.get("strict")]
    for schema in tools:
        with shaped():
            _check_rules("tools", schema, CLAUDE_STRICT)
    if len(tools) > CLAUDE_MOST_STRICT_TOOLS:
        raise refusal(f"Too many strict tools: {len(tools)}, limit: {CLAUDE_MOST_STRICT_TOOLS}")
    wanted = (body.get("output_config") or {}).get("format")
    schemas = [*tools, *([wanted["schema"]] if wanted else [])]
    for count, limit, what in (
        (count_unions, CLAUDE_STRICT.most_unions, "parameters with union types"),
        (count_optional, CLAUDE_STRICT.most_optional, "optional parameters"),
    ):
        found = sum(map(count, schemas))
        if limit is not None and found > limit:
            raise refusal(f"Schemas contains too many {what} ({found}), limit: {limit}")


def _check_thinking(body: Json) -> None:
    if body["thinking"].get("budget_tokens", 0) >= body["max_tokens"]:
        raise refusal("`max_tokens` must be greater than `thinking.budget_tokens`")
    if body.get("temperature", 1) != 1 or "top_k" in body:
        raise refusal("`temperature` may only be set to 1 when thinking is enabled, no `top_k`")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise refusal("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("top_p", 1) < 0.95:
        raise refusal("`top_p` must be greater than or equal to 0.95 when thinking is enabled")
    # With adaptive thinking, earlier turns need not begin with thoughts.
    said = [at for at, one in enumerate(body["messages"]) if one["role"] == "assistant"]
    if body["thinking"]["type"] != "enabled" or not said:
        return
    blocks = blocks_of(body["messages"][said[-1]])
    ends = said[-1] == len(body["messages"]) - 1
    called = any(block["type"] == "tool_use" for block in blocks)
    if (called or ends) and not blocks[0]["type"].endswith("thinking"):
        raise refusal("messages: Expected `thinking` or `redacted_thinking` first")
