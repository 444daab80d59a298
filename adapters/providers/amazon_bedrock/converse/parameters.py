"""Translates the parameters of a chat, beside messages and tools, for Bedrock's Converse.

Called by `request.py`.

- What Converse itself has goes where it belongs; what nobody listed goes to the model unchanged,
  in `additionalModelRequestFields`.
- `temperature` ends at 1 there and is clamped.
- `response_format` `json_schema` is emulated, with families that can be made to call a tool: the
  one tool is the schema, and its arguments are the answer. `json_object` is refused.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.amazon_bedrock.converse.tools import build_tool
from modelplane.adapters.providers.anthropic.parameters import (
    FORCED,
    LOST_THOUGHTS,
    drop_beside_thinking,
    fit_samplers,
    read_thinking,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    read_stop,
    refuse_unsupported,
)
from modelplane.adapters.providers.refusals import CONVERSE_RANGES, ClaudeModel, claude_model
from modelplane.adapters.providers.types import JsonObject, Query

# The tool that stands for a schema.
FORMAT_TOOL = "json_response"
_FORMAT_DESCRIPTION = "Gives the answer to the user. Call it exactly once, with the whole answer."
_OWN_FIELDS = (
    "guardrailConfig",
    "performanceConfig",
    "requestMetadata",
    "promptVariables",
    "additionalModelResponseFieldPaths",
)
_UNSUPPORTED: Mapping[str, Sequence[object]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"], []),
    "audio": (),
    "web_search_options": (),
}
_PENALTIES: Mapping[str, Sequence[object]] = {
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
}
# Families whose own parameters include them.
_WITH_PENALTIES = frozenset({"cohere", "ai21labs"})
_WITH_SEED = frozenset({"cohere"})
_WITH_FORCED_TOOLS = frozenset({"anthropic", "amazon"})
_NO_THINKING = ("none", "minimal")


def translate_parameters(
    parameters: Parameters, family: str, model: str, body: JsonObject, tools: JsonObject | None
) -> None:
    """Move parameters into a body.

    Args:
        parameters: What is left of the query.
        family: The model's family.
        model: The model's own name.
        body: The body, which is added to.
        tools: The `toolConfig`; None without tools.

    Raises:
        RequestRefused: One of them cannot be put to the model.
    """
    _refuse(parameters, family)
    config_of_tools = _format_tools(parameters, family, tools) or tools
    if config_of_tools:
        body["toolConfig"] = config_of_tools
    _read_effort(parameters)
    if family == "anthropic":
        takes = claude_model(model)
        fit_samplers(parameters, takes)
        _settle_thinking(parameters, body, takes)
    config = _inference_config(parameters, family)
    if config:
        body["inferenceConfig"] = config
    for name in _OWN_FIELDS:
        if (value := parameters.take(name)) is not None:
            body[name] = value
    harmless = HARMLESS if family in _WITH_SEED else (*HARMLESS, "seed")
    parameters.drop(*harmless, "verbosity")
    if additional := _additional(parameters, family):
        body["additionalModelRequestFields"] = additional


def wants_schema(query: Query) -> bool:
    """Return whether the answer to a query is the arguments of `FORMAT_TOOL`."""
    return as_object(query.body.get("response_format")).get("type") == "json_schema"


def _refuse(parameters: Parameters, family: str) -> None:
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    if family not in _WITH_PENALTIES:
        refuse_unsupported(parameters.provider, parameters.rest, _PENALTIES)


def _inference_config(parameters: Parameters, family: str) -> JsonObject:
    config = dict(as_object(parameters.take("inferenceConfig")))
    parameters.fit(CONVERSE_RANGES)
    newer, older = parameters.take("max_completion_tokens"), parameters.take("max_tokens")
    given = {
        "maxTokens": older if newer is None else newer,
        "temperature": parameters.take("temperature"),
        "topP": parameters.take("top_p"),
        "stopSequences": _stop(parameters, family) or None,
    }
    return config | {name: value for name, value in given.items() if value is not None}


def _stop(parameters: Parameters, family: str) -> list[str]:
    stop = read_stop(parameters.provider, parameters.rest)
    parameters.take("stop")
    if family != "anthropic":
        return stop
    # Claude refuses blank ones.
    kept = [text for text in stop if text.strip()]
    if len(kept) < len(stop):
        parameters.note("stop=blank texts dropped")
    return kept


def _format_tools(
    parameters: Parameters, family: str, tools: JsonObject | None
) -> JsonObject | None:
    """Return a `toolConfig` that makes the model answer in a schema; None: none is asked for."""
    given = parameters.take("response_format")
    wanted = as_object(given)
    if given is None or wanted.get("type") == "text":
        return None
    described = as_object(wanted.get("json_schema"))
    schema = described.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise parameters.refusal(
            "'response_format' must be of type text, or json_schema with a schema: Bedrock has no "
            "counterpart to json_object."
        )
    if family not in _WITH_FORCED_TOOLS or tools is not None:
        raise parameters.refusal(
            "'response_format' of type json_schema takes the place of 'tools' at Bedrock, and only "
            "models of the families anthropic and amazon have it: leave out one of them."
        )
    parameters.note("response_format=emulated with a tool")
    description = as_text(described.get("description")) or _FORMAT_DESCRIPTION
    tool = build_tool(parameters, FORMAT_TOOL, description, schema, family)
    return {"tools": [tool], "toolChoice": {"tool": {"name": FORMAT_TOOL}}}


def _read_effort(parameters: Parameters) -> None:
    effort = parameters.take("reasoning_effort")
    if effort is None:
        return
    if effort not in _NO_THINKING and "thinking" not in parameters.rest:
        raise parameters.refusal(
            "'reasoning_effort' has no counterpart at Bedrock: give the model's own parameter, for "
            'example "thinking": {"type": "enabled", "budget_tokens": 4096} for Claude.'
        )
    parameters.note("reasoning_effort=dropped")


def _settle_thinking(parameters: Parameters, body: JsonObject, takes: ClaudeModel) -> None:
    """Leave Claude's thinking out of a turn in which it would be refused."""
    kind = read_thinking(parameters, takes)
    if kind not in ("enabled", "adaptive"):
        return
    choice = as_object(as_object(body.get("toolConfig")).get("toolChoice"))
    reason = FORCED if choice.keys() & {"any", "tool"} else ""
    if kind == "enabled" and _lost_thoughts(as_objects(body["messages"])):
        reason = reason or LOST_THOUGHTS
    if reason:
        parameters.take("thinking")
        parameters.note(f"thinking=dropped: {reason}")
    else:
        drop_beside_thinking(parameters)


def _lost_thoughts(messages: Sequence[JsonObject]) -> bool:
    """Tell whether the assistant's last turn that has to begin with thoughts has none."""
    said = [index for index, one in enumerate(messages) if one["role"] == "assistant"]
    if not said:
        return False
    blocks = as_objects(messages[said[-1]]["content"])
    ends = said[-1] == len(messages) - 1
    called = any("toolUse" in block for block in blocks)
    return (called or ends) and "reasoningContent" not in blocks[0]


def _additional(parameters: Parameters, family: str) -> JsonObject:
    given = as_object(parameters.take("additionalModelRequestFields"))
    if family == "cohere":
        parameters.rename("top_k", "k")
    if family == "amazon" and (top_k := parameters.take("top_k")) is not None:
        parameters.rest["inferenceConfig"] = {"topK": top_k}
    return {**parameters.rest, **given}
