"""Reads the tools of the Responses API, and the choice among them; pure. Used by `request.py`.

A custom tool takes a text that is no JSON. Chats have none: it becomes a function with one text,
and its calls are written back as what they are (`stream.py`).
"""

from collections.abc import Iterator

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses

# Tools that run at OpenAI and that an agent can do without.
_OPTIONAL = ("web_search", "web_search_preview", "image_generation")
_CHOICES = ("auto", "none", "required")
INPUT = "input"


def read_tools(tools: object, losses: Losses) -> list[JsonObject]:
    """Return the tools as functions.

    Raises:
        InvalidParameter: One is none, or runs at OpenAI.
    """
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise InvalidParameter("'tools' must be a list.")
    return [function for tool in tools for function in _read_tool(tool, losses)]


def custom_names(tools: object) -> frozenset[str]:
    """Return the names of a request's custom tools."""
    return frozenset(
        tool["name"]
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict) and tool.get("type") == "custom" and "name" in tool
    )


def read_choice(choice: object) -> object:
    """Return `tool_choice`.

    Raises:
        InvalidParameter: It is none that a chat can express.
    """
    if isinstance(choice, str) and choice in _CHOICES:
        return choice
    if (
        isinstance(choice, dict)
        and choice.get("type") in ("function", "custom")
        and isinstance(choice.get("name"), str)
    ):
        return {"type": "function", "function": {"name": choice["name"]}}
    raise InvalidParameter("'tool_choice' must be auto, none, required or name one of the 'tools'.")


def _read_tool(tool: object, losses: Losses) -> Iterator[JsonObject]:
    if not isinstance(tool, dict):
        raise InvalidParameter("Each of 'tools' must be an object.")
    kind = tool.get("type")
    if kind == "namespace" and isinstance(tool.get("tools"), list):
        for inner in tool["tools"]:
            yield from _read_tool(inner, losses)
    elif kind in ("function", "custom"):
        yield _read_function(tool, is_custom=kind == "custom")
    elif kind in _OPTIONAL:
        losses.note(f"tools.{kind}=dropped")
    else:
        raise InvalidParameter(
            f"A tool of type '{kind}' runs at OpenAI, and this endpoint's model is elsewhere: "
            "leave it out, or give it as a function of your own."
        )


def _read_function(tool: JsonObject, *, is_custom: bool) -> JsonObject:
    name, description = tool.get("name"), tool.get("description")
    if not isinstance(name, str):
        raise InvalidParameter("Each of 'tools' must have a 'name'.")
    function: JsonObject = {"name": name}
    if isinstance(description, str):
        function["description"] = description
    if is_custom:
        function |= _wrap(tool, function)
    else:
        function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        if tool.get("strict") is True:
            function["strict"] = True
    return {"type": "function", "function": function}


def _wrap(tool: JsonObject, function: JsonObject) -> JsonObject:
    """Return what makes a function of a tool that takes a text, whose grammar is only told."""
    form = tool.get("format")
    grammar = form.get("definition") if isinstance(form, dict) else None
    text: JsonObject = {"type": "string", "description": "The whole input of the tool, as it is."}
    wrapped: JsonObject = {
        "parameters": {
            "type": "object",
            "properties": {INPUT: text},
            "required": [INPUT],
            "additionalProperties": False,
        }
    }
    if isinstance(grammar, str):
        told = f"{function.get('description', '')}\n\nThe input follows this grammar:\n{grammar}"
        wrapped["description"] = told.strip()
    return wrapped
