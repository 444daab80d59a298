"""What Converse checks beyond types; `schema` has those."""

from itertools import pairwise

from modelplane.adapters.providers.refusals import (
    CLAUDE_TOOL,
    CONVERSE_TOOL,
    NOVA_TOOL,
    ClaudeModel,
    claude_model,
)
from modelplane.adapters.providers.schemas.rules import SchemaRules, find_faults
from tests.emulators.amazon_bedrock.errors import refusal
from tests.emulators.amazon_bedrock.models import Model
from tests.emulators.emulator import Json

_NO_SPEC: Json = {"inputSchema": {"json": {}}}
_RULES = {"anthropic": CLAUDE_TOOL, "amazon": NOVA_TOOL}


def check_conversation(body: Json, model_id: str, model: Model) -> None:
    """Refuse a conversation that the real service refuses.

    Raises:
        Refusal: It does.
    """
    if body.get("system") and not model.systems:
        raise refusal("This model doesn't support system messages.")
    messages = body.get("messages") or []
    family, _, name = model_id.removeprefix("us.").partition(".")
    claude = name if family == "anthropic" else ""
    _check_order(messages, claude)
    for index, message in enumerate(messages):
        _check_content(f"messages.{index}", message, model)
    _check_tools(body, model)
    _check_schemas(body, _RULES.get(family, CONVERSE_TOOL))
    _check_results(messages)
    if claude:
        _check_claude(body, claude_model(claude))
    if body.get("inferenceConfig", {}).get("stopSequences"):
        _check_stops(body["inferenceConfig"]["stopSequences"], model)


def _check_order(messages: list[Json], claude: str) -> None:
    if not messages:
        raise refusal("A conversation must have at least one message.")
    if messages[0]["role"] != "user":
        raise refusal("A conversation must start with a user message.")
    for first, second in pairwise(messages):
        if first["role"] == second["role"]:
            raise refusal("A conversation must alternate between user and assistant roles.")
    if messages[-1]["role"] != "user" and not (claude and claude_model(claude).prefill):
        raise refusal("This model does not support assistant message prefill.")


def _check_content(path: str, message: Json, model: Model) -> None:
    if not message["content"]:
        raise refusal(f"The content field in the Message object at {path} is empty.")
    for index, block in enumerate(message["content"]):
        if "text" in block and not block["text"].strip():
            raise refusal(f"The text field in the ContentBlock object at {path}.{index} is blank.")
        if "image" in block and not model.sees:
            raise refusal("This model doesn't support the image content block.")
        allowed = "user" if "toolResult" in block else "assistant"
        own = {"toolResult", "toolUse", "reasoningContent"} & block.keys()
        if own and message["role"] != allowed:
            raise refusal(f"The {own.pop()} block at {path}.{index} does not fit its role.")


def _check_tools(body: Json, model: Model) -> None:
    config = body.get("toolConfig")
    blocks = [block for message in body["messages"] for block in message["content"]]
    if config is None:
        if any(block.keys() & {"toolUse", "toolResult"} for block in blocks):
            raise refusal(
                "The toolConfig field must be defined when using toolUse and toolResult content "
                "blocks."
            )
        return
    if not model.calls:
        raise refusal("This model doesn't support tool use.")
    specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
    names = [spec["name"] for spec in specs]
    if len(set(names)) != len(names):
        raise refusal("The tools must have different names.")
    if any(spec["inputSchema"]["json"].get("type") != "object" for spec in specs):
        raise refusal("The value at inputSchema.json.type must be one of the following: object.")
    chosen = config.get("toolChoice", {}).get("tool")
    if chosen and chosen["name"] not in names:
        raise refusal(f"The tool '{chosen['name']}' in toolChoice is not defined.")


def _check_schemas(body: Json, rules: SchemaRules) -> None:
    for tool in body.get("toolConfig", {}).get("tools", []):
        for fault in find_faults(tool.get("toolSpec", _NO_SPEC)["inputSchema"]["json"], rules):
            raise refusal(f"toolSpec.inputSchema.json{fault.path}: {fault.reason}")


def _check_claude(body: Json, takes: ClaudeModel) -> None:
    config = body.get("inferenceConfig", {})
    more = body.get("additionalModelRequestFields", {})
    given = {name for name in ("temperature", "topP") if name in config} | ({"top_k"} & set(more))
    if given and not takes.samplers:
        raise refusal(f"`{min(given)}` is not supported by this model.")
    if takes.samplers == 1 and {"temperature", "topP"} <= given:
        raise refusal("`temperature` and `top_p` cannot both be specified for this model.")
    thinking = more.get("thinking", {}).get("type")
    if thinking in ("enabled", "adaptive"):
        if thinking not in takes.thinking:
            raise refusal(f"thinking.type: '{thinking}' is not supported by this model")
        _check_thinking(body, config, more, manual=thinking == "enabled")


def _check_thinking(body: Json, config: Json, more: Json, *, manual: bool) -> None:
    if config.get("temperature", 1) != 1 or config.get("topP", 1) < 0.95 or "top_k" in more:
        raise refusal("`temperature` may only be set to 1 when thinking is enabled.")
    if body.get("toolConfig", {}).get("toolChoice", {"auto": {}}).keys() & {"any", "tool"}:
        raise refusal("Thinking may not be enabled when tool_choice forces tool use.")
    said = [at for at, one in enumerate(body["messages"]) if one["role"] == "assistant"]
    if not manual or not said:
        return
    blocks = body["messages"][said[-1]]["content"]
    ends = said[-1] == len(body["messages"]) - 1
    called = any("toolUse" in block for block in blocks)
    if (called or ends) and "reasoningContent" not in blocks[0]:
        raise refusal("messages: Expected `thinking` or `redacted_thinking` first")


def _check_results(messages: list[Json]) -> None:
    called: list[str] = []
    for message in messages:
        answered = [
            block["toolResult"]["toolUseId"]
            for block in message["content"]
            if "toolResult" in block
        ]
        if message["role"] == "user":
            if sorted(answered) != sorted(called):
                raise refusal(
                    "The toolResult blocks must answer exactly the toolUse blocks of the previous "
                    "turn."
                )
            if any("toolResult" in block for block in message["content"][len(answered) :]):
                raise refusal("The toolResult blocks must come first.")
        called = [
            block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block
        ]


def _check_stops(stops: list[str], model: Model) -> None:
    if model.form == "claude" and any(not stop.strip() for stop in stops):
        raise refusal("stop_sequences: each stop sequence must contain non-whitespace")
