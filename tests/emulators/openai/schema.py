"""What a request to each task may hold; `server` checks every request before it is answered.

Built from `checks`. Top-level fields are tables, so that an unknown field is an error, as it is at
the real API.
"""

from collections.abc import Mapping

from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    mapping,
    missing,
    nullable,
    number,
    string,
)
from tests.emulators.openai.errors import ApiError, Json
from tests.emulators.openai.messages import check_messages
from tests.emulators.openai.models import Model, Task

_NAME = 64
_STOP = either({str: string, list: array(string, 1, 4)}, "a string or an array of strings")
_TOKENS = array(integer(0), 1, 8192)
_INPUT_ITEMS = array(
    either({str: string, int: integer(0), list: _TOKENS}, "a string or an array of integers"),
    1,
    2048,
)


def _parameters(path: str, value: object) -> None:
    """Accept a JSON schema, as far as the answers need it."""
    either({dict: anything}, "an object")(path, value)
    properties = value.get("properties", {}) if isinstance(value, dict) else {}
    either({dict: anything}, "an object")(f"{path}.properties", properties)
    for name, schema in properties.items():
        either({dict: anything}, "an object")(f"{path}.properties.{name}", schema)


_FUNCTION = mapping(
    {
        "name": string,
        "description": string,
        "parameters": _parameters,
        "strict": nullable(boolean),
    },
    ["name"],
)
_TOOL = mapping({"type": choice("function"), "function": _FUNCTION}, ["type", "function"])
_NAMED_TOOL = mapping(
    {"type": choice("function"), "function": mapping({"name": string}, ["name"])},
    ["type", "function"],
)
_JSON_SCHEMA = mapping(
    {"name": string, "description": string, "schema": anything, "strict": nullable(boolean)},
    ["name"],
)
_SAMPLING: dict[str, Check] = {
    "model": string,
    "temperature": nullable(number(0, 2)),
    "top_p": nullable(number(0, 1)),
    "n": nullable(integer(1, 128)),
    "stop": nullable(_STOP),
    "stream": nullable(boolean),
    "stream_options": nullable(
        mapping({"include_usage": boolean, "include_obfuscation": boolean}, [])
    ),
    "max_tokens": nullable(integer(1)),
    "presence_penalty": nullable(number(-2, 2)),
    "frequency_penalty": nullable(number(-2, 2)),
    "logit_bias": nullable(either({dict: anything}, "an object")),
    "seed": nullable(integer(-(2**63))),
    "user": string,
}
_FIELDS: dict[Task, Mapping[str, Check]] = {
    "chat/completions": _SAMPLING
    | {
        "messages": check_messages,
        "max_completion_tokens": nullable(integer(1)),
        "logprobs": nullable(boolean),
        "top_logprobs": nullable(integer(0, 20)),
        "tools": array(_TOOL, 1, 128),
        "tool_choice": either(
            {str: choice("none", "auto", "required"), dict: _NAMED_TOOL}, "a string or an object"
        ),
        "parallel_tool_calls": boolean,
        "response_format": mapping(
            {"type": choice("text", "json_object", "json_schema"), "json_schema": _JSON_SCHEMA},
            ["type"],
        ),
        "reasoning_effort": nullable(choice("minimal", "low", "medium", "high")),
        "service_tier": nullable(choice("auto", "default", "flex", "priority")),
        "verbosity": nullable(choice("low", "medium", "high")),
        "modalities": nullable(array(choice("text", "audio"), 1)),
        "prediction": nullable(either({dict: anything}, "an object")),
        "prompt_cache_key": string,
        "safety_identifier": string,
        "store": nullable(boolean),
        "metadata": nullable(either({dict: anything}, "an object")),
    },
    "completions": _SAMPLING
    | {
        "prompt": either({str: string, list: _INPUT_ITEMS}, "a string or an array"),
        "suffix": nullable(string),
        "echo": nullable(boolean),
        "best_of": nullable(integer(1, 20)),
        "logprobs": nullable(integer(0, 5)),
    },
    "embeddings": {
        "model": string,
        "input": either({str: string, list: _INPUT_ITEMS}, "a string or an array"),
        "encoding_format": choice("float", "base64"),
        "dimensions": integer(1),
        "user": string,
    },
}
_REQUIRED: dict[Task, str] = {
    "chat/completions": "messages",
    "completions": "prompt",
    "embeddings": "input",
}


def check_request(task: Task, body: Json) -> None:
    """Refuse a body with unknown, missing or wrong fields.

    Raises:
        ApiError: What the real API would answer.
    """
    fields = _FIELDS[task]
    unknown = [name for name in body if name not in fields]
    if unknown:
        raise ApiError(f"Unrecognized request argument supplied: {', '.join(unknown)}")
    if "model" not in body:
        raise ApiError("you must provide a model parameter")
    if _REQUIRED[task] not in body:
        raise missing(_REQUIRED[task])
    for name, value in body.items():
        fields[name](name, value)


def check_for_model(body: Json, model: Model) -> None:
    """Refuse what depends on the model, or on several fields together.

    Raises:
        ApiError: What the real API would answer.
    """
    for rule in (_check_limits, _check_companions, _check_tools, _check_input):
        rule(body, model)


def _check_limits(body: Json, model: Model) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        asked = body.get(name)
        if asked is not None and asked > model.max_output_tokens:
            message = (
                f"{name} is too large: {asked}. This model supports at most "
                f"{model.max_output_tokens} completion tokens, whereas you provided {asked}."
            )
            raise ApiError(message, param=name, code="invalid_value")
    if model.reasoning and body.get("max_tokens") is not None:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        raise ApiError(message, param="max_tokens", code="unsupported_parameter")


def _check_companions(body: Json, model: Model) -> None:
    for name, companion in (("stream_options", "stream"), ("top_logprobs", "logprobs")):
        if body.get(name) is not None and not body.get(companion):
            message = f"The '{name}' option is only allowed when '{companion}' is enabled."
            raise ApiError(message, param=name)
    if "dimensions" not in body:
        return
    if not model.resizable:
        raise ApiError("This model does not support specifying dimensions.")
    if body["dimensions"] > model.dimensions:
        raise ApiError(
            f"Invalid value for 'dimensions': at most {model.dimensions}.", param="dimensions"
        )


def _check_tools(body: Json, _model: Model) -> None:
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    for name in names:
        if not name or len(name) > _NAME or not name.replace("-", "_").isidentifier():
            message = f"Invalid 'tools[].function.name': '{name}' does not match the pattern."
            raise ApiError(message, param="tools", code="invalid_value")
    for field in ("tool_choice", "parallel_tool_calls"):
        if field in body and not names:
            message = (
                f"Invalid value for '{field}': '{field}' is only allowed when 'tools' are "
                "specified."
            )
            raise ApiError(message, param=field)
    chosen = body.get("tool_choice")
    if isinstance(chosen, dict) and chosen["function"]["name"] not in names:
        message = "Invalid value for 'tool_choice': the function is not among the 'tools'."
        raise ApiError(message, param="tool_choice")


def _check_input(body: Json, _model: Model) -> None:
    given = body.get("input")
    if given == "" or (isinstance(given, list) and "" in given):
        raise ApiError("Invalid 'input': input cannot be an empty string.", param="input")
    for name in ("input", "prompt"):
        listed = body.get(name)
        if isinstance(listed, list) and len({type(item) for item in listed}) > 1:
            raise ApiError(f"'$.{name}' is invalid: items must all be of one type.", param=name)
