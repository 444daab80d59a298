"""Reads a request of the Gemini API into a canonical chat or embedding; pure.

API: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings. What has
no counterpart is refused by name where the answer would be another without it, and else left out
and told.
"""

from collections.abc import Iterator, Mapping

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses
from modelplane.data_plane.protocols.gemini.contents import read_contents, read_text
from modelplane.data_plane.protocols.gemini.fields import (
    read_fields,
    read_objects,
    to_json_schema,
)

_FIELDS = frozenset(
    {
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "labels",
        "model",
        "stream",
        "clientRequestId",
        "usageContext",
    }
)
_OPTIONS: Mapping[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_completion_tokens",
    "stopSequences": "stop",
    "candidateCount": "n",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
}
_READ_OPTIONS = frozenset(
    {
        *_OPTIONS,
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "thinkingConfig",
    }
)
_MODES: Mapping[object, str] = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
_LEVELS = ("minimal", "low", "medium", "high")
# Tokens that a model may think, as the effort that comes nearest.
_EFFORTS = ((2048, "low"), (8192, "medium"))
_JSON = "application/json"


def read_chat(body: JsonObject, losses: Losses) -> JsonObject:
    """Return the canonical chat that a request asks for.

    Args:
        body: The request's body, with the `model` of its path, and whether it is to `stream`.
        losses: Told of what is left out.

    Raises:
        InvalidParameter: It is no request, or asks for what a chat cannot express.
    """
    request = read_fields(body, "request", _FIELDS)
    messages = list(read_contents(request.get("contents"), losses))
    if not messages:
        raise InvalidParameter("'contents' must have at least one turn.")
    if system := request.get("systemInstruction"):
        text = system if isinstance(system, str) else read_text(system, "systemInstruction")
        messages.insert(0, {"role": "system", "content": text})
    chat: JsonObject = {"model": request.get("model"), "messages": messages}
    if request.get("stream"):
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    for name, canonical in (
        ("clientRequestId", "client_request_id"),
        ("usageContext", "usage_context"),
    ):
        if name in request:
            chat[canonical] = request[name]
    if request.get("safetySettings"):
        losses.note("safetySettings=dropped")
    _read_tools(request, chat)
    if options := request.get("generationConfig"):
        _read_options(options, chat, losses)
    return chat


def read_embedding(body: JsonObject) -> JsonObject:
    """Return the canonical embedding that a request asks for, of one content or of several.

    Raises:
        InvalidParameter: It is no request.
    """
    many = body.get("requests")
    single = {name: value for name, value in body.items() if name != "requests"}
    requests = [single] if many is None else read_objects(many, "requests")
    texts = [_read_embedded(request) for request in requests]
    query: JsonObject = {"model": body.get("model"), "input": texts}
    sizes = {request.get("outputDimensionality") for request in requests}
    if len(sizes) > 1:
        raise InvalidParameter("'outputDimensionality' must be the same in all 'requests'.")
    if size := sizes.pop() if sizes else None:
        query["dimensions"] = size
    return query


def _read_embedded(request: JsonObject) -> str:
    return read_text(request.get("content"), "content")


def _read_tools(request: JsonObject, chat: JsonObject) -> None:
    tools = [
        function
        for tool in read_objects(request.get("tools", []), "tools")
        for function in _read_tool(tool)
    ]
    if not tools:
        return
    chat["tools"] = tools
    config = request.get("toolConfig")
    if config is None:
        return
    config = read_fields(config, "toolConfig", ("functionCallingConfig",))
    calling = read_fields(
        config.get("functionCallingConfig", {}),
        "functionCallingConfig",
        ("mode", "allowedFunctionNames"),
    )
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames")
    if mode not in _MODES:
        raise InvalidParameter("'functionCallingConfig.mode' must be AUTO, ANY or NONE.")
    chat["tool_choice"] = _MODES[mode]
    if isinstance(allowed, list) and allowed and mode == "ANY":
        names = set(map(str, allowed))
        if len(names) == 1:
            chat["tool_choice"] = {"type": "function", "function": {"name": names.pop()}}
        else:
            chat["tools"] = [tool for tool in tools if _name_of(tool) in names]


def _name_of(tool: JsonObject) -> object:
    function = tool["function"]
    return function.get("name") if isinstance(function, dict) else None


def _read_tool(tool: JsonObject) -> Iterator[JsonObject]:
    fields = read_fields(tool, "tools", ("functionDeclarations",))
    for declared in read_objects(fields.get("functionDeclarations", []), "functionDeclarations"):
        declaration = read_fields(
            declared,
            "functionDeclarations",
            (
                "name",
                "description",
                "parameters",
                "parametersJsonSchema",
                "behavior",
                "response",
                "responseJsonSchema",
            ),
        )
        if not isinstance(declaration.get("name"), str):
            raise InvalidParameter("Each of 'functionDeclarations' must have a 'name'.")
        schema = declaration.get("parametersJsonSchema")
        if schema is None:
            empty = {"type": "object", "properties": {}}
            schema = to_json_schema(declaration.get("parameters", empty))
        function: JsonObject = {"name": declaration["name"], "parameters": schema}
        if "description" in declaration:
            function["description"] = declaration["description"]
        yield {"type": "function", "function": function}


def _read_options(value: object, chat: JsonObject, losses: Losses) -> None:
    options = read_fields(value, "generationConfig", _READ_OPTIONS)
    for name, canonical in _OPTIONS.items():
        if name in options:
            chat[canonical] = options[name]
    modalities = options.get("responseModalities")
    if isinstance(modalities, list) and {str(item).upper() for item in modalities} - {"TEXT"}:
        raise InvalidParameter("'responseModalities' must be TEXT alone.")
    _read_form(options, chat)
    if thinking := options.get("thinkingConfig"):
        _read_thinking(thinking, chat, losses)


def _read_form(options: JsonObject, chat: JsonObject) -> None:
    schema = options.get("responseJsonSchema")
    if schema is None and "responseSchema" in options:
        schema = to_json_schema(options["responseSchema"])
    kind = options.get("responseMimeType", "text/plain")
    if schema is not None:
        named = {"name": "answer", "schema": schema}
        chat["response_format"] = {"type": "json_schema", "json_schema": named}
    elif kind == _JSON:
        chat["response_format"] = {"type": "json_object"}
    elif kind != "text/plain":
        raise InvalidParameter(f"'responseMimeType' must be text/plain or {_JSON}.")


def _read_thinking(value: object, chat: JsonObject, losses: Losses) -> None:
    thinking = read_fields(
        value, "thinkingConfig", ("includeThoughts", "thinkingBudget", "thinkingLevel")
    )
    level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
    if isinstance(level, str):
        if level.lower() not in _LEVELS:
            raise InvalidParameter(f"'thinkingLevel' must be {', '.join(_LEVELS[:-1])} or high.")
        chat["reasoning_effort"] = level.lower()
    elif isinstance(budget, int) and budget > 0:
        effort = next((name for most, name in _EFFORTS if budget <= most), "high")
        chat["reasoning_effort"] = effort
        losses.note(f"thinkingBudget=reasoning_effort {effort}")
