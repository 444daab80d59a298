"""Canonical messages and tools in Cohere's v2 form, which is close to the canonical one: pure.

Used by `chat.py`. A message keeps all that it says: ids of tool calls, text beside them,
reasoning. What the wire has no place for is refused by name.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.canonical.answers import build_tool_call
from modelplane.adapters.providers.canonical.history import arrange, order_messages
from modelplane.adapters.providers.canonical.json_values import as_object, as_text
from modelplane.adapters.providers.canonical.messages import (
    ImagePart,
    Message,
    Part,
    TextPart,
    read_messages,
)
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.refusals import COHERE_STRICT
from modelplane.adapters.providers.schemas.arguments import NO_ARGUMENTS
from modelplane.adapters.providers.schemas.fitting import SchemaUnfit, fit_schema
from modelplane.adapters.providers.schemas.json_schema import Words
from modelplane.adapters.providers.types import JsonObject


def build_messages(parameters: Parameters) -> list[JsonObject]:
    """Take `messages` and return them in Cohere's form.

    Raises:
        RequestRefused: A message has no counterpart there.
    """
    messages = read_messages(parameters.provider, parameters.rest)
    parameters.take("messages")
    if any(message.source.get("name") for message in messages):
        parameters.note("messages.name=dropped")
    ordered = order_messages(parameters, messages)
    if not ordered or ordered[-1].role in ("assistant", "system"):
        # The user or a tool has to speak last.
        system, turns = arrange(parameters, messages)
        ordered = [*system, *(one for turn in turns for one in turn.messages)]
    return [_build(parameters, message) for message in ordered]


def build_tools(parameters: Parameters) -> tuple[list[JsonObject], str | None]:
    """Take `tools` and `tool_choice` and return them in Cohere's form.

    Cohere cannot force one tool by its name, so that tool is sent alone and a call is required.

    Raises:
        RequestRefused: One of them has no counterpart there.
    """
    choice = parameters.take("tool_choice")
    tools = [_tool(parameters, tool) for tool in parameters.take_objects("tools")]
    _settle_strictness(parameters, tools)
    if not tools:
        if choice not in (None, "none", "auto"):
            raise parameters.refusal("'tool_choice' needs 'tools'.")
        return [], None
    if choice in (None, "auto"):
        return tools, None
    if choice in ("none", "required"):
        return tools, as_text(choice).upper()
    wanted = as_object(as_object(choice).get("function")).get("name")
    chosen = [tool for tool in tools if as_object(tool["function"])["name"] == wanted]
    if not chosen:
        raise parameters.refusal(
            "'tool_choice' must be none, auto, required or the name of one of 'tools'."
        )
    parameters.note("tool_choice=only that tool sent")
    return chosen[:1], "REQUIRED"


def _settle_strictness(parameters: Parameters, tools: list[JsonObject]) -> None:
    """Fit all tools into what Cohere takes of strict ones, or leave strictness out."""
    if not parameters.rest.get("strict_tools"):
        return
    words = Words()
    functions = [as_object(tool["function"]) for tool in tools]
    try:
        fitted = [_fit_arguments(as_object(one["parameters"]), words) for one in functions]
    except SchemaUnfit:
        del parameters.rest["strict_tools"]
        parameters.note("strict_tools=dropped: a schema cannot be followed")
        return
    for function, schema in zip(functions, fitted, strict=True):
        function["parameters"] = schema
    for note in words.notes("tools"):
        parameters.note(note)


def _fit_arguments(schema: JsonObject, words: Words) -> JsonObject:
    # A function without arguments is taken, an object without properties elsewhere is not.
    if not schema.get("properties") and not schema.keys() & {"anyOf", "oneOf", "allOf"}:
        return NO_ARGUMENTS
    return fit_schema(schema, COHERE_STRICT, words)


def _tool(parameters: Parameters, tool: JsonObject) -> JsonObject:
    function = as_object(tool.get("function"))
    name = function.get("name")
    if tool.get("type", "function") != "function" or not isinstance(name, str):
        raise parameters.refusal("Each of 'tools' must be a function with a name.")
    if function.get("strict"):
        parameters.rest.setdefault("strict_tools", True)
        parameters.note("tools.strict=for all tools")
    built: JsonObject = {"name": name}
    if function.get("description") is not None:
        built["description"] = function["description"]
    built["parameters"] = function.get("parameters") or NO_ARGUMENTS
    return {"type": "function", "function": built}


def _build(parameters: Parameters, message: Message) -> JsonObject:
    if message.role == "assistant":
        return _assistant(parameters, message)
    content = _content(parameters, message)
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
    return {"role": message.role, "content": content}


def _assistant(parameters: Parameters, message: Message) -> JsonObject:
    built: JsonObject = {"role": "assistant"}
    content = _content(parameters, message) or as_text(message.source.get("refusal"))
    reasoning = as_text(message.source.get("reasoning_content"))
    # Some clients send no arguments for a function without any, which is no JSON.
    calls = [
        build_tool_call(call.id, call.name, call.arguments.strip() or "{}")
        for call in message.tool_calls
    ]
    if calls:
        built["tool_calls"] = calls
        # Cohere's name for what its models think before they call a tool.
        if reasoning:
            built["tool_plan"] = reasoning
    elif reasoning:
        said = content if isinstance(content, list) else _text_parts(content)
        content = [{"type": "thinking", "thinking": reasoning}, *said]
    if content or not calls:
        built["content"] = content
    return built


def _text_parts(text: str) -> list[JsonObject]:
    return [{"type": "text", "text": text}] if text else []


def _content(parameters: Parameters, message: Message) -> str | list[JsonObject]:
    """Return a text where the caller sent one, or nothing; else the parts."""
    if not isinstance(message.source.get("content"), list) or not message.parts:
        return message.text
    return _parts(parameters, message.parts, images=message.role == "user")


def _parts(parameters: Parameters, parts: Sequence[Part], *, images: bool) -> list[JsonObject]:
    built: list[JsonObject] = []
    for part in parts:
        if isinstance(part, TextPart):
            built.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart) and images:
            detail = as_object(part.source.get("image_url")).get("detail")
            image = {"url": part.url} if detail is None else {"url": part.url, "detail": detail}
            built.append({"type": "image_url", "image_url": image})
        else:
            kind = part.source.get("type")
            raise parameters.refusal(
                f"A part of type '{kind}' is not supported in this message: use text, or "
                "image_url in a message of the user."
            )
    return built
