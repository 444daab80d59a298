"""Reads the tools of the Messages API, and the choice among them; pure. Used by `request.py`."""

from collections.abc import Mapping

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses

_CHOICES: Mapping[object, str] = {"auto": "auto", "any": "required", "none": "none"}


def read_tools(tools: object, losses: Losses) -> list[JsonObject]:
    """Return the tools as functions.

    Raises:
        InvalidParameter: One is none, or runs at Anthropic, as web search does.
    """
    if not isinstance(tools, list):
        raise InvalidParameter("'tools' must be a list.")
    return [_read_tool(tool, losses) for tool in tools]


def read_choice(choice: object) -> JsonObject:
    """Return `tool_choice` and `parallel_tool_calls`, as far as something is chosen.

    Raises:
        InvalidParameter: It is no choice.
    """
    if choice is None:
        return {}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind == "tool" and isinstance(choice.get("name"), str):
        chosen: object = {"type": "function", "function": {"name": choice["name"]}}
    elif kind in _CHOICES:
        chosen = _CHOICES[kind]
    else:
        raise InvalidParameter("'tool_choice.type' must be auto, any, none, or tool with a 'name'.")
    one = isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True
    return {"tool_choice": chosen, **({"parallel_tool_calls": False} if one else {})}


def _read_tool(tool: object, losses: Losses) -> JsonObject:
    if not isinstance(tool, dict):
        raise InvalidParameter("Each of 'tools' must be an object.")
    kind, name = tool.get("type"), tool.get("name")
    if kind not in (None, "custom"):
        raise InvalidParameter(
            f"Tool '{name}' of type '{kind}' runs at Anthropic, and this endpoint's model is "
            "elsewhere: leave it out, or give it as a tool of your own."
        )
    if not isinstance(name, str) or not isinstance(tool.get("input_schema"), dict):
        raise InvalidParameter("Each of 'tools' must have a 'name' and an 'input_schema'.")
    if tool.get("cache_control"):
        losses.note("cache_control=dropped")
    function: JsonObject = {"name": name, "parameters": tool["input_schema"]}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    if tool.get("strict") is True:
        function["strict"] = True
    return {"type": "function", "function": function}
