"""InvokeModel: what each format of body may hold, and deterministic answers in that format.

The formats of Anthropic, Cohere and AI21 are those of their own emulators, with what Bedrock does
differently.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from modelplane.adapters.providers.refusals import (
    COMMAND_RANGES,
    COMMAND_STOPS,
    LEGACY_CLAUDE_RANGES,
    LLAMA_RANGES,
    TITAN_RANGES,
    TITAN_STOPS,
)
from tests.emulators.ai21labs import answers as ai21
from tests.emulators.ai21labs import schema as ai21_schema
from tests.emulators.amazon_bedrock.errors import refusal
from tests.emulators.amazon_bedrock.models import Model
from tests.emulators.anthropic import answers as anthropic
from tests.emulators.anthropic import schema as anthropic_schema
from tests.emulators.anthropic import stream as anthropic_stream
from tests.emulators.cohere import answers as cohere
from tests.emulators.emulator import Json, Refusal
from tests.emulators.openai.answers import tokens_of, vector
from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    mapping,
    number,
    string,
)
from tests.emulators.openai.errors import ApiError

_METRICS = "amazon-bedrock-invocationMetrics"
_CLAUDE_VERSION = "bedrock-2023-05-31"


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens that headers or metrics report."""

    prompt: int
    completion: int


Answered = tuple[Json, Counts]


def check(model_id: str, model: Model, body: Json, *, stream: bool) -> None:
    """Refuse a body that the model does not take.

    Raises:
        Refusal: It does not.
    """
    fields = _FIELDS.get(model.form)
    if fields is not None:
        _check_fields(body, *fields)
    try:
        _RULES.get(model.form, _no_rule)(model_id, body, stream)
    except Refusal as error:
        raise refusal(f"Malformed input request: {error.body}") from None


def answer(model_id: str, model: Model, body: Json) -> Answered:
    """Return the whole answer, and the tokens that were counted."""
    return _ANSWERS[model.form](model_id, body)


def events(model_id: str, model: Model, body: Json) -> Iterator[Json]:
    """Yield the model's own events; the last one has the metrics.

    Raises:
        Refusal: The model does not stream.
    """
    if model.form not in _EVENTS:
        raise refusal("The model is unsupported for streaming.")
    whole, counts = answer(model_id, model, body)
    *first, last = _EVENTS[model.form](whole)
    yield from first
    metrics = {
        "inputTokenCount": counts.prompt,
        "outputTokenCount": counts.completion,
        "invocationLatency": 20,
        "firstByteLatency": 10,
    }
    yield last | {_METRICS: metrics}


def _check_fields(body: Json, fields: Mapping[str, Check], required: list[str]) -> None:
    for name in required:
        if name not in body:
            raise refusal(f"Malformed input request: #: required key [{name}] not found")
    for name, value in body.items():
        if name not in fields:
            raise refusal(f"Malformed input request: #: extraneous key [{name}] is not permitted")
        try:
            fields[name](name, value)
        except ApiError as error:
            raise refusal(f"Malformed input request: #/{name}: {error}") from None


_SHARE = number(0, 1)
_TITAN_CONFIG = mapping(
    {
        "maxTokenCount": integer(*TITAN_RANGES["max_tokens"]),
        "temperature": _SHARE,
        "topP": number(*TITAN_RANGES["top_p"]),
        "stopSequences": array(choice(*TITAN_STOPS)),
    }
)
_FIELDS: Mapping[str, tuple[Mapping[str, Check], list[str]]] = {
    "legacy-claude": (
        {
            "prompt": string,
            "max_tokens_to_sample": integer(*LEGACY_CLAUDE_RANGES["max_tokens"]),
            "temperature": _SHARE,
            "top_p": _SHARE,
            "top_k": integer(*LEGACY_CLAUDE_RANGES["top_k"]),
            "stop_sequences": array(string),
            "anthropic_version": choice(_CLAUDE_VERSION),
        },
        ["prompt", "max_tokens_to_sample"],
    ),
    "command": (
        {
            "prompt": string,
            "temperature": number(0, 5),
            "p": _SHARE,
            "k": integer(0, 500),
            "max_tokens": integer(*COMMAND_RANGES["max_tokens"]),
            "stop_sequences": array(string, 0, COMMAND_STOPS),
            "return_likelihoods": choice("GENERATION", "ALL", "NONE"),
            "stream": boolean,
            "num_generations": integer(1, 5),
            "logit_bias": either({dict: anything}, "an object"),
            "truncate": choice("NONE", "START", "END"),
        },
        ["prompt"],
    ),
    "titan": ({"inputText": string, "textGenerationConfig": _TITAN_CONFIG}, ["inputText"]),
    "llama": (
        {
            "prompt": string,
            "max_gen_len": integer(*LLAMA_RANGES["max_tokens"]),
            "temperature": _SHARE,
            "top_p": _SHARE,
            "images": array(string),
        },
        ["prompt"],
    ),
    "cohere-embed": (
        {
            "texts": array(string, 1, 96),
            "input_type": choice("search_document", "search_query", "classification", "clustering"),
            "truncate": choice("NONE", "START", "END"),
            "embedding_types": array(choice("float", "int8", "uint8", "binary", "ubinary")),
        },
        ["texts", "input_type"],
    ),
    "titan-embed": (
        {
            "inputText": string,
            "dimensions": integer(256, 1024),
            "normalize": boolean,
            "embeddingTypes": array(choice("float", "binary")),
        },
        ["inputText"],
    ),
}


def _no_rule(_model_id: str, _body: Json, _stream: object) -> None:
    pass


def _check_claude(model_id: str, body: Json, _stream: object) -> None:
    if body.get("anthropic_version") != _CLAUDE_VERSION:
        raise refusal(f"anthropic_version: Input should be '{_CLAUDE_VERSION}'")
    for name in ("model", "stream", "metadata"):
        if name in body:
            raise refusal(f"{name}: Extra inputs are not permitted")
    kept = {name: one for name, one in body.items() if not name.startswith("anthropic_")}
    anthropic_schema.check_messages_body({"model": model_id, **kept}, sampling=True)


def _check_legacy_claude(model_id: str, body: Json, _stream: object) -> None:
    kept = {name: one for name, one in body.items() if name != "anthropic_version"}
    anthropic_schema.check_complete_body({"model": model_id, **kept})


def _check_command(_model_id: str, body: Json, stream: object) -> None:
    if bool(body.get("stream")) is not stream:
        raise refusal("#/stream: does not fit the operation")


def _check_j2(_model_id: str, body: Json, _stream: object) -> None:
    ai21_schema.check_complete("j2-mid", body)


def _check_titan_embed(model_id: str, body: Json, _stream: object) -> None:
    own = {"dimensions", "normalize", "embeddingTypes"} & body.keys()
    if own and "v2" not in model_id:
        raise refusal(f"#: extraneous key [{own.pop()}] is not permitted")
    if body.get("dimensions", 256) not in (256, 512, 1024):
        raise refusal("#/dimensions: must be one of 256, 512, 1024")
    if not body["inputText"]:
        raise refusal("#/inputText: expected minLength: 1, actual: 0")


_RULES: Mapping[str, Callable[[str, Json, object], None]] = {
    "claude": _check_claude,
    "legacy-claude": _check_legacy_claude,
    "command": _check_command,
    "j2": _check_j2,
    "titan-embed": _check_titan_embed,
}


def _claude(model_id: str, body: Json) -> Answered:
    kept = {name: one for name, one in body.items() if not name.startswith("anthropic_")}
    whole = anthropic.message({**kept, "model": model_id})
    return whole, Counts(whole["usage"]["input_tokens"], whole["usage"]["output_tokens"])


def _legacy_claude(model_id: str, body: Json) -> Answered:
    whole = anthropic.completion({**body, "model": model_id})
    kept = {name: whole[name] for name in ("type", "completion", "stop_reason", "stop")}
    return kept, _count(body["prompt"], whole["completion"])


def _command(model_id: str, body: Json) -> Answered:
    # Bedrock leaves its `stop_sequences` out of the text, as Cohere does with `end_sequences`.
    own = {**body, "model": model_id, "end_sequences": body.get("stop_sequences")}
    own.pop("stop_sequences", None)
    whole = cohere.generate_answer(own)
    del whole["meta"]
    texts = [generation["text"] for generation in whole["generations"]]
    return whole, _count(body["prompt"], " ".join(texts))


def _j2(model_id: str, body: Json) -> Answered:
    whole = ai21.complete_answer(model_id, body)
    texts = [one["data"]["text"] for one in whole["completions"]]
    return whole, _count(body["prompt"], " ".join(texts))


def _titan(model_id: str, body: Json) -> Answered:
    config = body.get("textGenerationConfig", {})
    text = f"\n{model_id} continues: {body['inputText']}"
    tokens, stopped = _cut(text, config.get("stopSequences", []), config.get("maxTokenCount", 512))
    reason = {None: "FINISH", "stop": "STOP_CRITERIA_MET", "length": "LENGTH"}[stopped]
    result = {
        "tokenCount": len(tokens),
        "outputText": "".join(tokens),
        "completionReason": reason,
    }
    counts = Counts(len(tokens_of(body["inputText"])), len(tokens))
    return {"inputTextTokenCount": counts.prompt, "results": [result]}, counts


def _llama(model_id: str, body: Json) -> Answered:
    text = f" {model_id} heard {body['prompt']}"
    tokens, stopped = _cut(text, [], body.get("max_gen_len", 512))
    counts = Counts(len(tokens_of(body["prompt"])), len(tokens))
    whole = {
        "generation": "".join(tokens),
        "prompt_token_count": counts.prompt,
        "generation_token_count": counts.completion,
        "stop_reason": stopped or "stop",
    }
    return whole, counts


def _titan_embed(model_id: str, body: Json) -> Answered:
    length = body.get("dimensions", 1024 if "v2" in model_id else 1536)
    found = vector(body["inputText"], model_id, length)
    counts = Counts(len(tokens_of(body["inputText"])), 0)
    whole = {"embedding": found, "inputTextTokenCount": counts.prompt}
    return whole | ({"embeddingsByType": {"float": found}} if "v2" in model_id else {}), counts


def _cohere_embed(model_id: str, body: Json) -> Answered:
    vectors = [vector(text, model_id + body["input_type"], 1024) for text in body["texts"]]
    whole: Json = {"id": "emulated", "texts": body["texts"], "response_type": "embeddings_floats"}
    whole["embeddings"] = vectors
    if "embedding_types" in body:
        whole["embeddings"] = {"float": vectors}
        whole["response_type"] = "embeddings_by_type"
    return whole, _count(" ".join(body["texts"]), "")


_ANSWERS: Mapping[str, Callable[[str, Json], Answered]] = {
    "claude": _claude,
    "legacy-claude": _legacy_claude,
    "command": _command,
    "j2": _j2,
    "titan": _titan,
    "llama": _llama,
    "titan-embed": _titan_embed,
    "cohere-embed": _cohere_embed,
}


def _claude_events(whole: Json) -> list[Json]:
    return anthropic_stream.message_data(whole)


def _legacy_claude_events(whole: Json) -> list[Json]:
    parts = [
        {**whole, "completion": token, "stop_reason": None, "stop": None}
        for token in tokens_of(whole["completion"])
    ]
    return [*parts, {**whole, "completion": ""}]


def _command_events(whole: Json) -> list[Json]:
    generations = whole["generations"]
    parts: list[Json] = [
        {"text": token, "is_finished": False, **({"index": at} if len(generations) > 1 else {})}
        for at, generation in enumerate(generations)
        for token in tokens_of(generation["text"])
    ]
    last: Json = {"is_finished": True, "finish_reason": generations[0]["finish_reason"]}
    if len(generations) > 1:
        # As in Cohere's own streams.
        last["response"] = {"generations": generations}
    return [*parts, last]


def _titan_events(whole: Json) -> list[Json]:
    result = whole["results"][0]
    tokens = tokens_of(result["outputText"])
    return [
        {
            "index": 0,
            "inputTextTokenCount": whole["inputTextTokenCount"] if not at else None,
            "totalOutputTextTokenCount": at + 1,
            "outputText": token,
            "completionReason": result["completionReason"] if at + 1 == len(tokens) else None,
        }
        for at, token in enumerate(tokens)
    ]


def _llama_events(whole: Json) -> list[Json]:
    tokens = tokens_of(whole["generation"])
    parts: list[Json] = [
        {
            "generation": token,
            "prompt_token_count": None if at else whole["prompt_token_count"],
            "generation_token_count": at + 1,
            "stop_reason": None,
        }
        for at, token in enumerate(tokens)
    ]
    return [*parts, {**whole, "generation": "", "prompt_token_count": None}]


_EVENTS: Mapping[str, Callable[[Json], list[Json]]] = {
    "claude": _claude_events,
    "legacy-claude": _legacy_claude_events,
    "command": _command_events,
    "titan": _titan_events,
    "llama": _llama_events,
}


def _cut(text: str, stops: list[str], limit: int) -> tuple[list[str], str | None]:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    tokens = tokens_of(text[: min(found)] if found else text)
    if len(tokens) > limit:
        return tokens[:limit], "length"
    return tokens, "stop" if found else None


def _count(prompt: str, said: str) -> Counts:
    return Counts(len(tokens_of(prompt)), len(tokens_of(said)))
