"""Translates tools and the choice among them for Bedrock's Converse.

Called by `request.py`.
"""

from modelplane.adapters.providers.canonical.parameters import Parameters, refuse_unsupported
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.refusals import CLAUDE_TOOL, CONVERSE_TOOL, NOVA_TOOL
from modelplane.adapters.providers.schemas.arguments import read_arguments, split_root
from modelplane.adapters.providers.schemas.json_schema import Words
from modelplane.adapters.providers.types import JsonObject

_CACHE_POINT: JsonObject = {"cachePoint": {"type": "default"}}
_CHOICES = {"auto": "auto", "required": "any"}
_RULES = {"anthropic": CLAUDE_TOOL, "amazon": NOVA_TOOL}


def translate_tools(parameters: Parameters, names: ToolNames, family: str) -> JsonObject | None:
    """Take the tools out of `parameters` and return a `toolConfig`; None: no tool may be called.

    Args:
        parameters: Parameters of the query.
        names: Names of the tools.
        family: The model's family, which decides what its schemas may hold.

    Raises:
        RequestRefused: They cannot be put to the model.
    """
    refuse_unsupported(
        parameters.provider, parameters.rest, {"functions": ([],), "function_call": ("none",)}
    )
    tools = parameters.take("tools") or []
    choice = parameters.take("tool_choice")
    parallel = parameters.take("parallel_tool_calls")
    if not isinstance(tools, list):
        raise parameters.refusal("'tools' must be a list.")
    if not tools:
        if choice not in (None, "auto", "none"):
            raise parameters.refusal("'tool_choice' asks for a tool, but there are no 'tools'.")
        return None
    if choice == "none":
        parameters.note("tool_choice=tools left out")
        return None
    if parallel is False:
        parameters.note("parallel_tool_calls=dropped")
    if names.renamed:
        parameters.note("tools=renamed")
    config: JsonObject = {
        "tools": [block for tool in tools for block in _tool(parameters, names, tool, family)]
    }
    if choice is not None:
        config["toolChoice"] = _choice(parameters, names, choice)
    return config


def build_tool(
    parameters: Parameters, name: str, description: object, schema: object, family: str
) -> JsonObject:
    """Return one tool; a description that is empty is left out, which Converse demands.

    Raises:
        RequestRefused: The schema cannot be put to the model.
    """
    rules = _RULES.get(family, CONVERSE_TOOL)
    words = Words()
    arguments, more = split_root(read_arguments(parameters, schema, rules), rules, words)
    for note in words.notes("tools"):
        parameters.note(note)
    said = [text for text in (description, more) if isinstance(text, str) and text.strip()]
    spec: JsonObject = {"name": name}
    if said:
        spec["description"] = "\n\n".join(said)
    spec["inputSchema"] = {"json": arguments}
    return {"toolSpec": spec}


def _tool(parameters: Parameters, names: ToolNames, tool: object, family: str) -> list[JsonObject]:
    if not isinstance(tool, dict):
        raise parameters.refusal("Each of 'tools' must be an object.")
    if tool.get("type", "function") != "function":
        # A tool of Converse's own, in its own form.
        return [tool]
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise parameters.refusal("Each of 'tools' must have a 'function' with a 'name'.")
    built = build_tool(
        parameters,
        names.encode(function["name"]),
        function.get("description"),
        function.get("parameters"),
        family,
    )
    if function.get("strict"):
        parameters.note("strict=dropped")
    return [built, _CACHE_POINT] if isinstance(tool.get("cache_control"), dict) else [built]


def _choice(parameters: Parameters, names: ToolNames, choice: object) -> JsonObject:
    if isinstance(choice, str) and choice in _CHOICES:
        return {_CHOICES[choice]: {}}
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(name, str):
        return {"tool": {"name": names.encode(name)}}
    raise parameters.refusal(
        "'tool_choice' must be none, auto, required, or name one function as "
        '{"type": "function", "function": {"name": …}}.'
    )
