"""Claude behind rawPredict: Anthropic's emulator, and what Vertex AI does differently."""

from tests.emulators.anthropic import answers, models, schema
from tests.emulators.anthropic.errors import refusal
from tests.emulators.emulator import Json

MODELS = ("claude-3-5-sonnet@20240620", "claude-sonnet-4@20250514", "claude-3-haiku@20240307")
_VERSION = "vertex-2023-10-16"


def message(body: Json, model: str, *, stream: bool) -> Json:
    """Return the whole answer to a request.

    Raises:
        Refusal: The request is not right.
        ApiError: It is not, in the shared checks' shape.
    """
    if body.get("anthropic_version") != _VERSION:
        raise refusal(f"anthropic_version: Input should be '{_VERSION}'")
    if "model" in body:
        raise refusal("model: Extra inputs are not permitted")
    if bool(body.get("stream")) is not stream:
        raise refusal("stream: does not fit the method that was called")
    name = model.replace("@", "-")
    inner = {key: value for key, value in body.items() if key != "anthropic_version"}
    inner["model"] = name
    schema.check_messages_body(inner, sampling=True)
    schema.check_for_model(inner, models.find(name, legacy=False))
    for turn in inner["messages"]:
        for block in turn["content"] if isinstance(turn["content"], list) else []:
            if block.get("source", {}).get("type") == "url":
                raise refusal("URL sources are not supported")
    return answers.message(inner)


def count(body: Json) -> int:
    """Return the number of tokens that a request has, which names its model.

    Raises:
        Refusal: The request is not right.
    """
    if body.get("anthropic_version") != _VERSION or body.get("model") not in MODELS:
        raise refusal("anthropic_version, model: Field required")
    inner = {key: value for key, value in body.items() if key != "anthropic_version"}
    return answers.count(schema.check_count_body(inner))
