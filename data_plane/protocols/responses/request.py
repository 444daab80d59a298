"""Reads a request of the Responses API into a canonical chat; pure.

API: https://platform.openai.com/docs/api-reference/responses/create. What has no counterpart in a
chat is refused by name where the answer would be another without it, and else left out and told.
"""

from collections.abc import Mapping

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses
from modelplane.data_plane.protocols.reading import refuse_unknown, start_chat
from modelplane.data_plane.protocols.responses.items import read_items
from modelplane.data_plane.protocols.responses.tools import read_choice, read_tools

_RENAMED: Mapping[str, str] = {
    "model": "model",
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "max_completion_tokens",
    "stream": "stream",
    "user": "user",
    "safety_identifier": "safety_identifier",
    "prompt_cache_key": "prompt_cache_key",
    "top_logprobs": "top_logprobs",
    "client_request_id": "client_request_id",
    "usage_context": "usage_context",
}
# Of no effect on the answer.
_SILENT = (
    "metadata",
    "service_tier",
    "client_metadata",
    "stream_options",
    "prompt_cache_retention",
)
# What needs a memory of earlier answers, which nobody here has.
_STORED: Mapping[str, str] = {
    "previous_response_id": "send the whole conversation as 'input'",
    "conversation": "send the whole conversation as 'input'",
    "background": "ask for a stream instead",
    "prompt": "send the prompt's text",
}
_READ = frozenset(
    {
        *_RENAMED,
        *_SILENT,
        *_STORED,
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "include",
        "reasoning",
        "text",
        "truncation",
        "store",
    }
)
_LOGPROBS = "message.output_text.logprobs"
# What of an answer can be asked for.
_INCLUDED = frozenset({_LOGPROBS, "reasoning.encrypted_content"})


def read_request(body: JsonObject, losses: Losses) -> JsonObject:
    """Return the canonical chat that a request asks for.

    Args:
        body: The request's body.
        losses: Told of what is left out.

    Raises:
        InvalidParameter: It is no request, or asks for what a chat cannot express.
    """
    _refuse_stored(body)
    refuse_unknown(body, _READ)
    chat = start_chat(body, _RENAMED)
    messages = read_items(body.get("input"), losses)
    instructions = body.get("instructions")
    if instructions:
        if not isinstance(instructions, str):
            raise InvalidParameter("'instructions' must be a text.")
        messages.insert(0, {"role": "system", "content": instructions})
    if not messages:
        raise InvalidParameter("'input' must be a text or a list with at least one item.")
    chat["messages"] = messages
    _read_tools(body, chat, losses)
    _read_included(body, chat)
    _read_reasoning(body.get("reasoning"), chat)
    _read_text(body.get("text"), chat)
    return chat


def _refuse_stored(body: JsonObject) -> None:
    for name, instead in _STORED.items():
        if body.get(name):
            raise InvalidParameter(f"'{name}' needs answers to be kept, and none are: {instead}.")
    if body.get("store"):
        raise InvalidParameter("'store' must be false: no answers are kept.")
    if body.get("truncation") not in (None, "disabled"):
        raise InvalidParameter("'truncation' must be disabled: send what fits.")


def _read_tools(body: JsonObject, chat: JsonObject, losses: Losses) -> None:
    tools = read_tools(body.get("tools"), losses)
    if not tools:
        return
    chat["tools"] = tools
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = read_choice(choice)
    if body.get("parallel_tool_calls") is not None:
        chat["parallel_tool_calls"] = body["parallel_tool_calls"]


def _read_included(body: JsonObject, chat: JsonObject) -> None:
    included = body.get("include")
    if included is None:
        return
    if not isinstance(included, list):
        raise InvalidParameter("'include' must be a list.")
    for name in included:
        if name not in _INCLUDED:
            raise InvalidParameter(
                f"'include' names '{name}': only {', '.join(sorted(_INCLUDED))} can be had."
            )
    if _LOGPROBS in included:
        chat["logprobs"] = True


def _read_reasoning(reasoning: object, chat: JsonObject) -> None:
    if reasoning is None:
        return
    if not isinstance(reasoning, dict):
        raise InvalidParameter("'reasoning' must be an object.")
    # A summary is a matter of the provider's: what a model thinks is told as far as it tells it.
    if effort := reasoning.get("effort"):
        chat["reasoning_effort"] = effort


def _read_text(text: object, chat: JsonObject) -> None:
    if text is None:
        return
    if not isinstance(text, dict):
        raise InvalidParameter("'text' must be an object.")
    if text.get("verbosity"):
        chat["verbosity"] = text["verbosity"]
    form = text.get("format")
    kind = form.get("type") if isinstance(form, dict) else None
    if not isinstance(form, dict) or kind == "text":
        return
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        schema = {name: form[name] for name in _SCHEMA if form.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        raise InvalidParameter("'text.format.type' must be text, json_object or json_schema.")


_SCHEMA = ("name", "description", "schema", "strict")
