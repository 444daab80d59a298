"""`embedContent` of Gemini's embedding models: one content, checked by the SDK's own type."""

from google.genai import types
from pydantic import ValidationError

from tests.emulators.emulator import Json
from tests.emulators.google_cloud_vertex_ai.errors import GoogleError
from tests.emulators.google_cloud_vertex_ai.gemini_answers import tokens_of
from tests.emulators.google_cloud_vertex_ai.predict import DIMENSIONS, check_fields, vector

MODELS = ("gemini-embedding-2", "gemini-embedding-2-preview")
_CONFIG = (
    "taskType",
    "title",
    "outputDimensionality",
    "autoTruncate",
    "documentOcr",
    "audioTrackExtraction",
)


def embed_content(body: Json, model: str) -> Json:
    """Return the answer to a request.

    Raises:
        GoogleError: The request is not right.
    """
    check_fields("request", body, ("content", "embedContentConfig"))
    config = body.get("embedContentConfig", {})
    check_fields("embed_content_config", config, _CONFIG)
    try:
        content = types.Content.model_validate(body.get("content"))
    except ValidationError:
        raise GoogleError("Invalid value at 'content'") from None
    texts = [part.text for part in content.parts or []]
    if not texts or not all(texts):
        raise GoogleError("content: at least one part with a text is required")
    text = "".join(text or "" for text in texts)
    values = vector(text, model, config.get("outputDimensionality", DIMENSIONS))
    count = len(tokens_of(text))
    usage = {"promptTokenCount": count, "totalTokenCount": count}
    return {"embedding": {"values": values}, "usageMetadata": usage, "truncated": False}
