"""Translates tools and the choice among them for Anthropic's Messages API.

Called by `messages.py`.
"""

from collections.abc import Iterable, Mapping, Sequence

from modelplane.adapters.providers.canonical import Message, ToolNames, refuse_unsupported
from modelplane.adapters.providers.json_schema import map_schemas
from modelplane.adapters.providers.parameters import Parameters
from modelplane.adapters.providers.types import JsonObject

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
# What `tools` and `tool_choice` took the place of.
_REPLACED: Mapping[str, Sequence[object]] = {"functions": ([],), "function_call": ()}
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def translate_tools(
    parameters: Parameters, names: ToolNames, messages: Sequence[Message], body: JsonObject
) -> None:
    """Move the tools of a query into a body.

    Raises:
        RequestRefused: They cannot be put to Claude.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _REPLACED)
    tools = parameters.take("tools") or []
    choice = parameters.take("tool_choice")
    parallel = parameters.take("parallel_tool_calls")
    if not isinstance(tools, list):
        raise parameters.refusal("'tools' must be a list.")
    if tools:
        body["tools"] = [_tool(parameters, names, tool) for tool in tools]
        if translated := _choice(parameters, names, choice, parallel):
            body["tool_choice"] = translated
        if names.renamed:
            parameters.note("tools=renamed")
        return
    _note_dropped(parameters, choice, parallel)
    called = dict.fromkeys(call.name for message in messages for call in message.tool_calls)
    if called:
        # The API refuses earlier calls of tools that it does not know; none may be called again.
        body["tools"] = _placeholders(names, called)
        body["tool_choice"] = {"type": "none"}
        parameters.note("tools=taken from earlier calls")


def _note_dropped(parameters: Parameters, choice: object, parallel: object) -> None:
    if choice is not None and choice not in ("auto", "none"):
        raise parameters.refusal("'tool_choice' asks for a tool, but there are no 'tools'.")
    if parallel is not None:
        parameters.note("parallel_tool_calls=dropped")


def _placeholders(names: ToolNames, called: Iterable[str]) -> list[JsonObject]:
    return [{"name": names.encode(name), "input_schema": _NO_PARAMETERS} for name in called]


def _tool(parameters: Parameters, names: ToolNames, tool: object) -> JsonObject:
    if not isinstance(tool, dict):
        raise parameters.refusal("Each of 'tools' must be an object.")
    if tool.get("type", "function") != "function":
        # A tool of Anthropic's own, for example web search.
        return tool
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise parameters.refusal("Each of 'tools' must have a 'function' with a 'name'.")
    translated: JsonObject = {"name": names.encode(function["name"])}
    if function.get("description"):
        translated["description"] = function["description"]
    translated["input_schema"] = _input_schema(parameters, function.get("parameters"))
    if function.get("strict"):
        translated["strict"] = True
    if isinstance(tool.get("cache_control"), dict):
        translated["cache_control"] = tool["cache_control"]
    return translated


def _input_schema(parameters: Parameters, schema: object) -> JsonObject:
    if not schema:
        return _NO_PARAMETERS
    if not isinstance(schema, dict):
        raise parameters.refusal("The 'parameters' of a function must be a JSON schema.")
    return {"type": "object", **map_schemas(schema, drop_identifiers)}


def drop_identifiers(schema: JsonObject) -> JsonObject:
    """Return a schema without the keywords that name it, which the API refuses."""
    return {name: value for name, value in schema.items() if name not in ("$schema", "$id")}


def _choice(
    parameters: Parameters, names: ToolNames, choice: object, parallel: object
) -> JsonObject | None:
    translated = _translate_choice(parameters, names, choice)
    if parallel is not False or (translated and translated["type"] == "none"):
        return translated
    return {**(translated or {"type": "auto"}), "disable_parallel_tool_use": True}


def _translate_choice(
    parameters: Parameters, names: ToolNames, choice: object
) -> JsonObject | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(name, str):
        return {"type": "tool", "name": names.encode(name)}
    raise parameters.refusal(
        "'tool_choice' must be none, auto, required, or name one function as "
        '{"type": "function", "function": {"name": …}}.'
    )
