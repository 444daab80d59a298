"""Requests to Gemini on Vertex AI: chats and completions through generateContent.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. What OpenAI's
parameters become is in the tables below; parameters that nobody listed go into the body as they
are, or into its `generationConfig` when they belong there.

Used by `adapters.py`. `contents.py` translates the messages, `tools.py` the tools, `answers.py` the
answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.contents import ContentsBuilder
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.tools import (
    put_tools,
    tool_names,
    translate_schema,
)
from modelplane.adapters.providers.refusals import GEMINI_RANGES, GEMINI_STOPS
from modelplane.adapters.providers.types import Image, JsonObject, Query

_RENAMED: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "seed": "seed",
}
# Fields of `generationConfig` that callers may give by their own names.
_NATIVE = (
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "presencePenalty",
    "frequencyPenalty",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseLogprobs",
    "responseModalities",
    "thinkingConfig",
    "speechConfig",
    "mediaResolution",
    "audioTimestamp",
    "imageConfig",
)
# With the values that ask for nothing.
_UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "functions": ([],),
    "function_call": (),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "suffix": ("",),
    "best_of": (1,),
    "echo": (False,),
}
# Google's own OpenAI-compatible interface gives efforts these budgets, in tokens.
_BUDGETS: Mapping[str, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
}
_LEVELS = ("minimal", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class GeminiRequest:
    """One request.

    Attributes:
        body: Its body.
        adapted: See `Plan`.
        text_length: Characters of the prompt.
    """

    body: JsonObject = field(repr=False)
    adapted: tuple[str, ...]
    text_length: int


def build_gemini_request(
    provider: str, model: str, query: Query, images: Mapping[str, Image]
) -> GeminiRequest:
    """Return the request for a chat.

    Args:
        provider: Name that errors carry.
        model: Name of the model.
        query: The query.
        images: Content of each image that is not inline.

    Raises:
        RequestRefused: The query cannot be put to Gemini.
    """
    parameters = Parameters(provider, query)
    refuse_unsupported(provider, parameters.rest, _UNSUPPORTED)
    parameters.drop(*HARMLESS, "verbosity")
    third = model.startswith("gemini-3")
    names = tool_names(query)
    builder = ContentsBuilder(provider, parameters, names, images, needs_signatures=third)
    contents = builder.build({"messages": parameters.take("messages")})
    body: JsonObject = {"contents": contents.turns}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    put_tools(body, parameters, names)
    if config := _generation_config(parameters, levels=third):
        body["generationConfig"] = config
    return GeminiRequest({**parameters.rest, **body}, parameters.adapted, contents.text_length)


def _generation_config(parameters: Parameters, *, levels: bool) -> JsonObject:
    given = parameters.take("generationConfig")
    if given is not None and not isinstance(given, dict):
        raise parameters.refusal("'generationConfig' must be an object.")
    parameters.fit(GEMINI_RANGES)
    config: JsonObject = {}
    for name, native in _RENAMED.items():
        if (value := parameters.take(name)) is not None:
            config[native] = value
    parameters.rename_stop("stopSequences", GEMINI_STOPS)
    _put_logprobs(config, parameters)
    _put_response_format(config, parameters)
    _put_thinking(config, parameters, levels=levels)
    for name in _NATIVE:
        if (value := parameters.take(name)) is not None:
            config[name] = value
    return {**config, **(given or {})}


def _put_logprobs(config: JsonObject, parameters: Parameters) -> None:
    wanted, alternatives = parameters.take("logprobs"), parameters.take("top_logprobs")
    if wanted is None or wanted is False:
        return
    config["responseLogprobs"] = True
    # In completions, `logprobs` is the number of alternatives.
    number = alternatives if wanted is True else wanted
    if number is not None:
        config["logprobs"] = number


def _put_response_format(config: JsonObject, parameters: Parameters) -> None:
    wanted = parameters.take("response_format")
    kind = "text" if wanted is None else as_object(wanted).get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise parameters.refusal(
            "'response_format' must have a 'type' of text, json_object or json_schema."
        )
    if kind == "text":
        return
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = as_object(as_object(wanted).get("json_schema")).get("schema")
        if not isinstance(schema, dict):
            raise parameters.refusal("'response_format.json_schema' must have a 'schema'.")
        config["responseSchema"] = translate_schema(parameters, schema, "response_format")


def _put_thinking(config: JsonObject, parameters: Parameters, *, levels: bool) -> None:
    effort = parameters.take("reasoning_effort")
    if effort is None:
        return
    if not isinstance(effort, str) or effort not in (_LEVELS if levels else _BUDGETS):
        raise parameters.refusal(f"'reasoning_effort' {effort!r} is not supported by this model.")
    amount: JsonObject = (
        {"thinkingLevel": effort.upper()} if levels else {"thinkingBudget": _BUDGETS[effort]}
    )
    config["thinkingConfig"] = {**amount, "includeThoughts": effort != "none"}
