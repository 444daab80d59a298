"""Chat through Cohere's v2 API: bodies and whole answers, pure.

API: https://docs.cohere.com/v2/reference/chat. Messages are `messages.py`'s, streams are
`chat_stream.py`'s. What a model plans before it calls a tool (`tool_plan`) is reasoning
like its thinking: `reasoning_content` holds both, and goes back as the one that fits.
"""

from collections.abc import Iterable, Sequence

from modelplane.adapters.providers.canonical.answers import build_chat_answer, build_tool_call
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.cohere.conventions import read_finish, read_sampling, read_usage
from modelplane.adapters.providers.cohere.messages import build_messages, build_tools
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.refusals import COHERE_RANGES, COHERE_STOPS, COHERE_STRICT
from modelplane.adapters.providers.schemas.fitting import SchemaUnfit, fit_schema
from modelplane.adapters.providers.schemas.json_schema import Words
from modelplane.adapters.providers.types import JsonObject, Query

# Between thinking and plan, where an answer has both.
REASONING_BREAK = "\n\n"
_UNSUPPORTED: dict[str, Sequence[object]] = {
    "n": (1,),
    "top_logprobs": (0,),
    "functions": ([],),
    "function_call": ("none",),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
}


def build_chat_body(parameters: Parameters, model: str, *, stream: bool) -> JsonObject:
    """Return the body of `POST /v2/chat`; what was changed is noted in `parameters`.

    Raises:
        RequestRefused: Cohere has no counterpart for something in the query.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    messages = build_messages(parameters)
    tools, choice = build_tools(parameters)
    read_sampling(parameters, COHERE_RANGES)
    parameters.rename_stop("stop_sequences", COHERE_STOPS)
    parameters.rename("max_completion_tokens", "max_tokens")
    _read_response_format(parameters, has_tools=bool(tools))
    _read_reasoning_effort(parameters)
    if parameters.take("parallel_tool_calls") is False and tools:
        parameters.note("parallel_tool_calls=dropped")
    parameters.drop(*HARMLESS, "verbosity")
    body: JsonObject = {"model": model, "messages": messages, "stream": stream}
    if tools:
        body["tools"] = tools
    if choice:
        body["tool_choice"] = choice
    return body | parameters.rest


def parse_chat(provider: str, query: Query, answer: JsonObject, created: int) -> JsonObject:
    """Return the canonical answer.

    Args:
        provider: Name that errors carry.
        query: The query that was answered, to estimate what was not counted.
        answer: Cohere's answer.
        created: Seconds since the epoch.

    Raises:
        AdapterError: It is no answer, or one that failed.
    """
    message = answer.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswer(provider, "the provider's answer has no message")
    built, said = _parse_message(message)
    choice: JsonObject = {
        "index": 0,
        "message": built,
        "logprobs": read_logprobs(as_objects(answer.get("logprobs"))),
        **read_finish(provider, answer.get("finish_reason")),
    }
    usage = read_usage(as_object(answer.get("usage")), prompt_texts(query), [len(said)])
    return build_chat_answer(as_text(answer.get("id")), created, [choice], usage)


def read_logprobs(items: Iterable[JsonObject]) -> JsonObject | None:
    """Return canonical log probabilities of pieces of text, None where there are none.

    A piece of several tokens has the sum of theirs.
    """
    content = []
    for item in items:
        text = as_text(item.get("text"))
        values = item.get("logprobs")
        numbers = values if isinstance(values, list) else []
        logprob = sum(value for value in numbers if isinstance(value, int | float))
        content.append(
            {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}
        )
    return {"content": content, "refusal": None} if content else None


def prompt_texts(query: Query) -> list[str]:
    """Return the texts of a chat's messages, for an estimate of their tokens."""
    texts = []
    for message in as_objects(query.body.get("messages")):
        content = message.get("content")
        texts.append(as_text(content))
        texts += [as_text(part.get("text")) for part in as_objects(content)]
    return texts


def _parse_message(message: JsonObject) -> tuple[JsonObject, str]:
    """Return the canonical message, and all that it says."""
    content = message.get("content")
    parts = as_objects(content)
    text = as_text(content) + "".join(as_text(part.get("text")) for part in parts)
    thinking = "".join(as_text(part.get("thinking")) for part in parts)
    reasoning = REASONING_BREAK.join(filter(None, (thinking, as_text(message.get("tool_plan")))))
    built: JsonObject = {"role": "assistant", "content": text}
    if reasoning:
        built["reasoning_content"] = reasoning
    said = text + reasoning
    calls = []
    for call in as_objects(message.get("tool_calls")):
        function = as_object(call.get("function"))
        arguments = as_text(function.get("arguments")) or "{}"
        name = as_text(function.get("name"))
        calls.append(build_tool_call(as_text(call.get("id")), name, arguments))
        said += arguments
    if calls:
        built["content"] = text or None
        built["tool_calls"] = calls
    if citations := message.get("citations"):
        built["citations"] = citations
    return built, said


def _read_response_format(parameters: Parameters, *, has_tools: bool) -> None:
    """Cohere takes the schema beside the type `json_object`, and neither beside tools."""
    wanted = as_object(parameters.rest.get("response_format"))
    if has_tools and wanted.get("type", "text") != "text":
        raise parameters.refusal("'response_format' is not supported with 'tools' by Cohere.")
    if wanted.get("type") == "json_schema":
        schema = as_object(wanted.get("json_schema")).get("schema")
        if not isinstance(schema, dict):
            raise parameters.refusal("'response_format.json_schema' needs a 'schema'.")
        parameters.rest["response_format"] = {"type": "json_object"}
        # A schema of any object, which Cohere does not take, says no more than the type does.
        if schema.keys() - {"type", "additionalProperties"}:
            fitted = _fit_schema(parameters, schema)
            parameters.rest["response_format"] = {"type": "json_object", "json_schema": fitted}


def _fit_schema(parameters: Parameters, schema: JsonObject) -> JsonObject:
    words = Words()
    try:
        fitted = fit_schema(schema, COHERE_STRICT, words)
    except SchemaUnfit as reason:
        raise parameters.refusal(
            f"Cohere does not take the schema in 'response_format': {reason}."
        ) from None
    except RecursionError:
        raise parameters.refusal("A JSON schema is nested too deeply.") from None
    for note in words.notes("response_format"):
        parameters.note(note)
    return fitted


def _read_reasoning_effort(parameters: Parameters) -> None:
    """Cohere's models think or do not; the effort has no counterpart."""
    effort = parameters.take("reasoning_effort")
    if effort is None:
        return
    thinking = "disabled" if effort == "none" else "enabled"
    parameters.rest.setdefault("thinking", {"type": thinking})
    parameters.note(f"reasoning_effort=thinking {thinking}")
