"""Translates tools and the choice among them for Anthropic's Messages API.

Called by `messages.py`.
"""

from collections.abc import Iterable, Mapping, Sequence

from modelplane.adapters.providers.canonical.messages import Message
from modelplane.adapters.providers.canonical.parameters import Parameters, refuse_unsupported
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.refusals import (
    CLAUDE_MOST_STRICT_TOOLS,
    CLAUDE_STRICT,
    CLAUDE_TOOL,
)
from modelplane.adapters.providers.schemas.arguments import NO_ARGUMENTS, read_arguments
from modelplane.adapters.providers.schemas.fitting import SchemaUnfit, fit_schema, opens
from modelplane.adapters.providers.schemas.json_schema import Words
from modelplane.adapters.providers.schemas.rules import count_optional, count_unions
from modelplane.adapters.providers.types import JsonObject

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
# What `tools` and `tool_choice` took the place of.
_REPLACED: Mapping[str, Sequence[object]] = {"functions": ([],), "function_call": ()}


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
        strict = _StrictTools(parameters)
        body["tools"] = [_tool(parameters, names, tool, strict) for tool in tools]
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
    return [{"name": names.encode(name), "input_schema": NO_ARGUMENTS} for name in called]


class _StrictTools:
    """The strict tools of one query, of which the API takes only so many and so much."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._tools = 0
        self._unions = 0
        self._optional = 0

    def fit(self, schema: JsonObject) -> JsonObject | None:
        """Return the schema of one more strict tool; None where it cannot be strict."""
        words = Words()
        try:
            fitted = fit_schema(schema, CLAUDE_STRICT, words)
        except SchemaUnfit:
            self._parameters.note("tools.strict=dropped where the schema cannot be followed")
            return None
        unions = self._unions + count_unions(fitted)
        optional = self._optional + count_optional(fitted)
        too_much = (
            self._tools == CLAUDE_MOST_STRICT_TOOLS
            or unions > (CLAUDE_STRICT.most_unions or 0)
            or optional > (CLAUDE_STRICT.most_optional or 0)
        )
        if too_much:
            self._parameters.note("tools.strict=dropped where it would be too much")
            return None
        self._tools, self._unions, self._optional = self._tools + 1, unions, optional
        if opens(schema):
            self._parameters.note("tools=additionalProperties set to false")
        for note in words.notes("tools"):
            self._parameters.note(note)
        return fitted


def _tool(
    parameters: Parameters, names: ToolNames, tool: object, strict: _StrictTools
) -> JsonObject:
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
    schema = read_arguments(parameters, function.get("parameters"), CLAUDE_TOOL)
    if function.get("strict") and (fitted := strict.fit(schema)):
        schema = fitted
        translated["strict"] = True
    translated["input_schema"] = schema
    if isinstance(tool.get("cache_control"), dict):
        translated["cache_control"] = tool["cache_control"]
    return translated


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
