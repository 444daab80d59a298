"""What generateContent accepts: the SDK's own types, and the rules that types do not say."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from google.genai import types
from pydantic import BaseModel, ValidationError

from modelplane.adapters.providers.refusals import GEMINI, GEMINI_NAMES, GEMINI_RANGES, GEMINI_STOPS
from modelplane.adapters.providers.schemas.rules import find_faults
from tests.emulators.emulator import Json
from tests.emulators.google_cloud_vertex_ai.errors import GoogleError

_FIELDS: Mapping[str, type[BaseModel]] = {
    "contents": types.Content,
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "tools": types.Tool,
    "toolConfig": types.ToolConfig,
    "safetySettings": types.SafetySetting,
}
_UNTYPED = {"labels", "cachedContent", "modelArmorConfig"}
_LISTS = {"contents", "tools", "safetySettings"}
_KINDS = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
_OF_URLS = str.maketrans("-_", "+/")
_MEDIA = (*_IMAGES, "audio/wav", "audio/mp3", "application/pdf")


def check_request(body: Json, model: str) -> None:
    """Refuse a body that Vertex AI would refuse.

    Raises:
        GoogleError: It would.
    """
    for name, value in body.items():
        if name not in _FIELDS and name not in _UNTYPED:
            message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            raise GoogleError(message)
        if name in _LISTS and not isinstance(value, list):
            raise GoogleError(f"Invalid value at '{name}'")
        for item in value if name in _LISTS else [value]:
            _check_type(name, item)
    if not body.get("contents"):
        raise GoogleError("at least one contents field is required")
    _check_turns(body["contents"], model)
    _check_config(body.get("generationConfig", {}))
    _check_tools(body)


def _check_type(name: str, value: object) -> None:
    kind = _FIELDS.get(name)
    if kind is None:
        return
    try:
        kind.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"Invalid JSON payload received. Unknown name or value at '{name}.{where}'"
        raise GoogleError(message) from None


def _check_turns(contents: list[Json], model: str) -> None:
    calls: list[str] = []
    for index, turn in enumerate(contents):
        if turn.get("role") not in ("user", "model"):
            raise GoogleError("Please use a valid role: user, model.")
        if turn["role"] != ("model" if index % 2 else "user"):
            raise GoogleError(
                "Please ensure that multiturn requests alternate between user and model."
            )
        if not turn.get("parts"):
            raise GoogleError("Unable to submit request because it must have a parts field.")
        for part in turn["parts"]:
            _check_part(part, turn["role"], ids=model.startswith("gemini-3"))
        results = [_name(part) for part in turn["parts"] if "functionResponse" in part]
        if results != calls:
            message = (
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )
            raise GoogleError(message)
        calls = [_name(part) for part in turn["parts"] if "functionCall" in part]
        _check_signature(turn, model)
    if calls or contents[-1]["role"] != "user":
        message = (
            "Please ensure that multiturn requests ends with a user role or a function response."
        )
        raise GoogleError(message)


def _name(part: Json) -> str:
    return str((part.get("functionCall") or part["functionResponse"])["name"])


def _check_name(name: str) -> None:
    if not GEMINI_NAMES.take(name):
        message = (
            "Invalid function name. Must start with a letter or an underscore. Must be "
            "alphanumeric, underscores, dots or dashes, with a maximum length of 64."
        )
        raise GoogleError(message)


def _check_part(part: Json, role: str, *, ids: bool) -> None:
    if len([kind for kind in _KINDS if kind in part]) != 1:
        raise GoogleError("Part must have exactly one initialized field of its data oneof.")
    for kind, speaker in (("functionCall", "model"), ("functionResponse", "user")):
        if kind in part and role != speaker:
            raise GoogleError(f"{kind} is in the turn of the wrong role.")
        if kind in part:
            _check_name(_name(part))
        if "id" in part.get(kind, {}) and not ids:
            message = f"Invalid JSON payload received. Unknown name \"id\" at '{kind}'"
            raise GoogleError(message)
    if "text" in part and not part["text"]:
        raise GoogleError("Unable to submit request because it must have a text parameter.")
    _check_media(part.get("inlineData"), part.get("fileData"))


def _check_media(blob: Json | None, file: Json | None) -> None:
    # Names of fields, and bytes, are as the JSON of protocol buffers may have them:
    # https://protobuf.dev/programming-guides/json/.
    for media in (blob, file):
        kind = media and (media.get("mimeType") or media.get("mime_type"))
        if media and kind not in _MEDIA:
            raise GoogleError(f"Unsupported MIME type: {kind}")
    if file and not (file.get("fileUri") or file["file_uri"]).startswith("gs://"):
        raise GoogleError("Cannot fetch content from the provided URL.")
    data = str(blob["data"] if blob else "").translate(_OF_URLS)
    try:
        base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise GoogleError("Invalid value at 'inline_data.data' (TYPE_BYTES)") from None


def _check_signature(turn: Json, model: str) -> None:
    first = next((part for part in turn["parts"] if "functionCall" in part), None)
    if first and model.startswith("gemini-3") and not first.get("thoughtSignature"):
        raise GoogleError("Function call is missing a thought_signature in functionCall parts.")


def _check_config(config: Json) -> None:
    ranges: Mapping[str, tuple[float, float]] = {
        "temperature": GEMINI_RANGES["temperature"],
        "topP": GEMINI_RANGES["top_p"],
        "candidateCount": GEMINI_RANGES["n"],
        "maxOutputTokens": GEMINI_RANGES["max_tokens"],
        "logprobs": GEMINI_RANGES["top_logprobs"],
    }
    for name, (lowest, highest) in ranges.items():
        if name in config and not lowest <= config[name] <= highest:
            raise GoogleError(f"Unable to submit request because {name} is out of range.")
    if len(config.get("stopSequences", [])) > GEMINI_STOPS:
        raise GoogleError("Unable to submit request because there are too many stop sequences.")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise GoogleError("logprobs requires response_logprobs to be true.")
    if "responseSchema" in config:
        if config.get("responseMimeType") != "application/json":
            raise GoogleError("response_schema requires response_mime_type application/json.")
        check_schema(config["responseSchema"])


def _check_tools(body: Json) -> None:
    names = []
    for tool in body.get("tools", []):
        if len(tool) != 1:
            raise GoogleError("A tool must have exactly one field.")
        for declared in tool.get("functionDeclarations", []):
            names.append(declared["name"])
            _check_name(declared["name"])
            if "parameters" in declared:
                check_schema(declared["parameters"])
                if declared["parameters"].get("type") != "OBJECT":
                    raise GoogleError(
                        "functionDeclaration parameters schema should be of type OBJECT."
                    )
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed = config.get("allowedFunctionNames", [])
    if allowed and (config.get("mode") != "ANY" or not set(allowed) <= set(names)):
        raise GoogleError("Invalid allowed_function_names.")
    if config and not names:
        raise GoogleError("Function calling config is set without function_declarations.")


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that the dialect does not have.

    Raises:
        GoogleError: It is one.
    """
    for fault in find_faults(schema, GEMINI):
        raise GoogleError(f"Unable to submit request because schema{fault.path}: {fault.reason}.")
