"""`predict` of PaLM and of embedding models: what it accepts and what it answers."""

import random
import struct
from collections.abc import Mapping
from math import inf

from modelplane.adapters.providers.refusals import PALM_RANGES
from tests.emulators.emulator import Json
from tests.emulators.google_cloud_vertex_ai.errors import GoogleError
from tests.emulators.google_cloud_vertex_ai.gemini_answers import tokens_of

# Texts per request.
EMBEDDING_MODELS: Mapping[str, int] = {
    "textembedding-gecko@003": 5,
    "textembedding-gecko": 5,
    "text-embedding-005": 250,
    "gemini-embedding-001": 1,
}
TEXT_MODELS = ("text-bison", "text-bison@002", "code-bison")
CHAT_MODELS = ("chat-bison", "codechat-bison")
DIMENSIONS = 8
MOST_TOKENS = 20_000
_TASK_TYPES = ("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION")
_RANGES = {"candidateCount": PALM_RANGES["n"], "maxOutputTokens": PALM_RANGES["max_tokens"]}
_PARAMETERS: Mapping[str, type | tuple[type, ...]] = {
    "temperature": (int, float),
    "maxOutputTokens": int,
    "topK": int,
    "topP": (int, float),
    "candidateCount": int,
    "stopSequences": list,
    "presencePenalty": (int, float),
    "frequencyPenalty": (int, float),
    "logprobs": int,
    "seed": int,
}


def predict(body: Json, model: str) -> Json:
    """Return the answer to a request.

    Raises:
        GoogleError: The request is not right.
    """
    check_fields("request", body, ("instances", "parameters"))
    instances = body.get("instances")
    if not isinstance(instances, list) or not instances:
        raise GoogleError("instances: required")
    parameters = body.get("parameters", {})
    if model in EMBEDDING_MODELS:
        return _embed(instances, parameters, model)
    for name, value in parameters.items():
        if name not in _PARAMETERS or not isinstance(value, _PARAMETERS[name]):
            raise GoogleError(f"Invalid value at 'parameters.{name}'")
        lowest, highest = _RANGES.get(name, (-inf, inf))
        if isinstance(value, int | float) and not lowest <= value <= highest:
            raise GoogleError(f"{name} must be in the range [{lowest}, {highest}]")
    return (
        _chat(instances, parameters, model)
        if model in CHAT_MODELS
        else _complete(instances, parameters, model)
    )


def check_fields(where: str, value: Json, allowed: tuple[str, ...]) -> None:
    """Refuse an object with fields that it does not have.

    Raises:
        GoogleError: It has one.
    """
    for name in value:
        if name not in allowed:
            raise GoogleError(
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}'"
            )


def _embed(instances: list[Json], parameters: Json, model: str) -> Json:
    check_fields("parameters", parameters, ("outputDimensionality", "autoTruncate"))
    if len(instances) > EMBEDDING_MODELS[model]:
        raise GoogleError(f"{len(instances)} instance(s) is not allowed for this model.")
    total = sum(len(tokens_of(instance["content"])) for instance in instances)
    if total > MOST_TOKENS:
        message = (
            f"Unable to submit request because the input token count is {total} but the model "
            f"supports up to {MOST_TOKENS}."
        )
        raise GoogleError(message)
    predictions = []
    for instance in instances:
        check_fields("instances", instance, ("content", "task_type", "title"))
        kind = instance.get("task_type", "RETRIEVAL_QUERY")
        if kind not in _TASK_TYPES or not instance["content"]:
            raise GoogleError("Invalid value at 'instances'")
        if "title" in instance and kind != "RETRIEVAL_DOCUMENT":
            raise GoogleError("title is only valid with task_type RETRIEVAL_DOCUMENT")
        length = parameters.get("outputDimensionality", DIMENSIONS)
        count = len(tokens_of(instance["content"]))
        statistics = {"token_count": count, "truncated": False}
        values = vector(instance["content"], model, length)
        predictions.append({"embeddings": {"values": values, "statistics": statistics}})
    return {"predictions": predictions, "metadata": {"billableCharacterCount": 1}}


def vector(text: str, model: str, length: int = DIMENSIONS) -> list[float]:
    """Return the embedding of a text, in single-precision numbers."""
    source = random.Random(f"{model} {text}")
    packed = struct.pack(f"<{length}f", *(source.uniform(-1, 1) for _ in range(length)))
    return list(struct.unpack(f"<{length}f", packed))


def _complete(instances: list[Json], parameters: Json, model: str) -> Json:
    field = "prefix" if model.startswith("code") else "prompt"
    predictions = []
    for instance in instances:
        check_fields("instances", instance, (field, "suffix") if field == "prefix" else (field,))
        for index in range(parameters.get("candidateCount", 1)):
            text = _answer(model, instance[field], parameters, index)
            predictions.append({"content": text, "safetyAttributes": _safety(instance[field])})
    asked = " ".join(instance[field] for instance in instances)
    return {"predictions": predictions, "metadata": _metadata(asked, predictions)}


def _chat(instances: list[Json], parameters: Json, model: str) -> Json:
    (instance,) = instances
    check_fields("instances", instance, ("context", "examples", "messages"))
    authors = [message["author"] for message in instance["messages"]]
    if authors[::2] != ["user"] * len(authors[::2]) or "user" in authors[1::2]:
        raise GoogleError("Messages must alternate between authors.")
    if len(authors) % 2 == 0:
        raise GoogleError("The last message must be of the user.")
    said = instance["messages"][-1]["content"]
    candidates = [
        {"author": "bot", "content": _answer(model, said, parameters, index)}
        for index in range(parameters.get("candidateCount", 1))
    ]
    safety = [_safety(said) for _ in candidates]
    predictions = [{"candidates": candidates, "safetyAttributes": safety}]
    asked = " ".join(message["content"] for message in instance["messages"])
    return {"predictions": predictions, "metadata": _metadata(asked, candidates)}


def _answer(model: str, said: str, parameters: Json, index: int) -> str:
    if "UNSAFE" in said:
        return ""
    text = f"{model} heard: {said}" + (f" ({index})" if index else "")
    return "".join(tokens_of(text)[: parameters.get("maxOutputTokens", 1024)])


def _safety(said: str) -> Json:
    return {"blocked": "UNSAFE" in said, "categories": [], "scores": []}


def _metadata(asked: str, answered: list[Json]) -> Json:
    output = sum(len(tokens_of(one["content"])) for one in answered)
    return {
        "tokenMetadata": {
            "inputTokenCount": {"totalTokens": len(tokens_of(asked))},
            "outputTokenCount": {"totalTokens": output},
        }
    }
