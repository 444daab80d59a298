"""Chat with AI21's Jamba models, whose API is close to OpenAI's: bodies and answers, pure.

API: https://docs.ai21.com/reference/jamba-1-6-api-ref. Contents are texts only, and a tool cannot
be forced. Streams are `chat_stream.py`'s.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.canonical.answers import (
    build_tool_call,
    build_usage,
    estimate_tokens,
)
from modelplane.adapters.providers.canonical.history import order_messages
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.messages import Message, TextPart, read_messages
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.refusals import JAMBA_RANGES
from modelplane.adapters.providers.schemas.arguments import NO_ARGUMENTS
from modelplane.adapters.providers.types import JsonObject, Query, as_count, tokens_of

_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
_UNSUPPORTED: dict[str, Sequence[object]] = {
    "functions": ([],),
    "function_call": ("none",),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "top_k": (0,),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
}


def build_chat_body(parameters: Parameters, *, stream: bool) -> JsonObject:
    """Return the body of `POST /studio/v1/chat/completions`, without `model`.

    Raises:
        RequestRefused: Jamba has no counterpart for something in the query.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    messages = read_messages(parameters.provider, parameters.rest)
    parameters.take("messages")
    ordered = order_messages(parameters, messages)
    body: JsonObject = {"messages": [_message(parameters, one) for one in ordered]}
    if any(message.source.get("name") for message in messages):
        parameters.note("messages.name=dropped")
    if tools := _tools(parameters):
        body["tools"] = tools
    if parameters.take("parallel_tool_calls") is False and tools:
        parameters.note("parallel_tool_calls=dropped")
    _check_response_format(parameters)
    if stream and parameters.rest.get("n") not in (None, 1):
        raise parameters.refusal(f"{parameters.provider} streams one answer: 'n' must be 1.")
    parameters.fit(JAMBA_RANGES)
    parameters.rename_stop("stop")
    parameters.rename("max_completion_tokens", "max_tokens")
    parameters.drop(*HARMLESS, "seed", "verbosity")
    return {**body, "stream": stream, **parameters.rest}


def parse_chat(provider: str, query: Query, answer: JsonObject, created: int) -> JsonObject:
    """Return the canonical answer.

    Args:
        provider: Name that errors carry.
        query: The query that was answered, to estimate what was not counted.
        answer: Jamba's answer.
        created: Seconds since the epoch.

    Raises:
        MalformedAnswer: It is no answer.
    """
    choices = as_objects(answer.get("choices"))
    if not choices:
        raise MalformedAnswer(provider, "the provider's answer has no choices")
    built = []
    said = ""
    for choice in choices:
        message = as_object(choice.get("message"))
        calls = [_read_call(call) for call in as_objects(message.get("tool_calls"))]
        text = as_text(message.get("content"))
        read: JsonObject = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            read["tool_calls"] = calls
        said += text + "".join(as_text(as_object(one["function"])["arguments"]) for one in calls)
        ending = read_finish(choice.get("finish_reason"))
        index = as_count(choice.get("index")) or 0
        built.append({"index": index, "message": read, "logprobs": None, **ending})
    return {
        "id": as_text(answer.get("id")),
        "object": "chat.completion",
        "created": created,
        "choices": built,
        "usage": read_usage(query, as_object(answer.get("usage")), len(said)),
    }


def read_finish(reason: object) -> JsonObject:
    """Return the fields of a choice that say why it ended; AI21's reasons are mostly OpenAI's."""
    named = as_text(reason)
    if named in _FINISH_REASONS:
        return {"finish_reason": named}
    if named in ("", "endoftext"):
        return {"finish_reason": "stop"}
    return {"finish_reason": "stop", "provider_finish_reason": named}


def read_usage(query: Query, counts: JsonObject, said: int) -> JsonObject:
    """Return canonical usage.

    Args:
        query: The query that was answered, to estimate what was not counted.
        counts: Jamba's usage.
        said: Characters of the answer.
    """
    prompt = as_count(counts.get("prompt_tokens"))
    completion = as_count(counts.get("completion_tokens"))
    if prompt is not None and completion is not None:
        return build_usage(prompt, completion)
    texts = (as_text(one.get("content")) for one in as_objects(query.body.get("messages")))
    return build_usage(sum(map(estimate_tokens, texts)), tokens_of(said), estimated=True)


def _message(parameters: Parameters, message: Message) -> JsonObject:
    for part in message.parts:
        if not isinstance(part, TextPart):
            kind = part.source.get("type")
            raise parameters.refusal(
                f"A part of type '{kind}' is not supported by {parameters.provider}: use text."
            )
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    built: JsonObject = {"role": message.role, "content": message.text}
    if message.source.get("reasoning_content"):
        parameters.note("messages.reasoning_content=dropped")
    if message.tool_calls:
        built["content"] = message.text or None
        built["tool_calls"] = [
            build_tool_call(call.id, call.name, call.arguments.strip() or "{}")
            for call in message.tool_calls
        ]
    return built


def _tools(parameters: Parameters) -> list[JsonObject]:
    """Take `tools` and `tool_choice`; with `none`, the tools are not told, so none is called."""
    choice = parameters.take("tool_choice")
    tools = [_tool(parameters, tool) for tool in parameters.take_objects("tools")]
    if choice not in (None, "auto", "none"):
        raise parameters.refusal(
            f"{parameters.provider} cannot be made to call a tool: 'tool_choice' must be auto or "
            "none."
        )
    if choice == "none" and tools:
        parameters.note("tool_choice=tools left out")
        return []
    return tools


def _tool(parameters: Parameters, tool: JsonObject) -> JsonObject:
    function = as_object(tool.get("function"))
    if tool.get("type", "function") != "function" or not isinstance(function.get("name"), str):
        raise parameters.refusal("Each of 'tools' must be a function with a name.")
    if function.get("strict"):
        parameters.note("tools.strict=dropped")
    built = {
        name: function[name] for name in ("name", "description") if function.get(name) is not None
    }
    built["parameters"] = function.get("parameters") or NO_ARGUMENTS
    return {"type": "function", "function": built}


def _check_response_format(parameters: Parameters) -> None:
    wanted = parameters.rest.get("response_format")
    if as_object(wanted).get("type") == "json_schema":
        raise parameters.refusal(
            f"{parameters.provider} follows no schema: 'response_format' must be text or "
            "json_object."
        )


def _read_call(call: JsonObject) -> JsonObject:
    function = as_object(call.get("function"))
    arguments = as_text(function.get("arguments")) or "{}"
    return build_tool_call(as_text(call.get("id")), as_text(function.get("name")), arguments)
