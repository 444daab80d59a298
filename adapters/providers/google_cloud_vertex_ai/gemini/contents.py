"""Canonical messages as Gemini's contents.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. Its quirks:

- Turns alternate between `user` and `model`; system messages stand apart, before all turns.
- Vertex AI refuses ids in calls and results: the results of one turn stand together, in one turn
  and in the order of the calls, since their places alone say to which call each belongs.
- A result is an object, and a `$ref` in it would be interpreted: such a one is sent as text.
- Images are sent inline, or named where they are in Cloud Storage.

Used by `request.py`; `canonical/messages.py` reads the messages, `canonical/history.py` puts them
in order.
"""

import base64
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from modelplane.adapters.providers.canonical.history import arrange
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.messages import (
    ImagePart,
    Message,
    OtherPart,
    Part,
    TextPart,
    parse_data_uri,
    read_messages,
)
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.types import Image, JsonObject

_CLOUD_STORAGE = "gs://"
# Less than the encoder takes (`NestedTooDeeply`): a result lies in a few levels of the request.
_MOST_LEVELS = 200
# Takes the place of a signature that the caller did not send back; Gemini 3 refuses its absence.
_NO_SIGNATURE = "skip_thought_signature_validator"


@dataclass(slots=True)
class Contents:
    """Messages in Gemini's form.

    Attributes:
        turns: The turns.
        system: Parts of the system instruction.
        text_length: Characters of all texts.
    """

    turns: list[JsonObject] = field(default_factory=list)
    system: list[JsonObject] = field(default_factory=list)
    text_length: int = 0


class ContentsBuilder:
    """Builds the contents of one query."""

    def __init__(
        self,
        provider: str,
        parameters: Parameters,
        names: ToolNames,
        images: Mapping[str, Image],
        *,
        needs_signatures: bool,
    ) -> None:
        """Start without messages.

        Args:
            provider: Name that errors carry.
            parameters: Told of what is changed.
            names: Names of the tools.
            images: Content of each image that is not inline.
            needs_signatures: Whether the model refuses function calls without a thought signature.
        """
        self._provider = provider
        self._parameters = parameters
        self._images = images
        self._needs_signatures = needs_signatures
        self._names = names
        # By the call's id.
        self._called: dict[str, str] = {}

    def build(self, body: JsonObject) -> Contents:
        """Return the messages of a chat in Gemini's form.

        Raises:
            RequestRefused: A message cannot be put into it.
        """
        messages = read_messages(self._provider, body)
        if any("name" in message.source for message in messages):
            self._parameters.note("messages.name=dropped")
        system, turns = arrange(self._parameters, messages)
        contents = Contents(system=[self._text(part) for one in system for part in one.parts])
        for turn in turns:
            parts = [part for message in turn.messages for part in self._parts(message)]
            role = "model" if turn.role == "assistant" else "user"
            contents.turns.append({"role": role, "parts": parts})
        contents.text_length = sum(len(message.text) for message in messages)
        return contents

    def _parts(self, message: Message) -> Iterator[JsonObject]:
        if message.role == "assistant":
            yield from self._answered(message)
        elif message.role == "tool":
            for part in message.parts:
                self._text(part)
            name = self._called[message.tool_call_id]
            response = build_result(message.text)
            yield {"functionResponse": {"name": name, "response": response}}
        else:
            yield from map(self._part, message.parts)

    def _answered(self, message: Message) -> list[JsonObject]:
        parts = [self._text(part) for part in message.parts]
        if parts and (signature := _signature_of(message.source)):
            parts[-1]["thoughtSignature"] = signature
        calls: list[JsonObject] = []
        sources = as_objects(message.source.get("tool_calls"))
        for call, source in zip(message.tool_calls, sources, strict=True):
            name = self._called[call.id] = self._names.encode(call.name)
            part: JsonObject = {"functionCall": {"name": name, "args": call.parse_arguments()}}
            if signature := _signature_of(source):
                part["thoughtSignature"] = signature
            calls.append(part)
        # Of several calls in one turn, the model signs the first.
        if self._needs_signatures and calls and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = _NO_SIGNATURE
            self._parameters.note("thought_signature=missing and not checked")
        return parts + calls

    def _part(self, part: Part) -> JsonObject:
        if isinstance(part, TextPart):
            return {"text": part.text}
        if isinstance(part, ImagePart):
            return self._image(part)
        return self._other(part)

    def _text(self, part: Part) -> JsonObject:
        if not isinstance(part, TextPart):
            raise refusal(
                self._provider, "Messages of system, assistant and tool may only hold texts."
            )
        return {"text": part.text}

    def _image(self, part: ImagePart) -> JsonObject:
        if as_object(part.source.get("image_url")).get("detail") not in (None, "auto"):
            self._parameters.note("image_url.detail=dropped")
        if part.url.startswith(_CLOUD_STORAGE):
            media_type = mimetypes.guess_type(part.url)[0]
            if media_type is None:
                raise refusal(self._provider, "A gs:// URL needs an extension such as '.png'.")
            return {"fileData": {"mimeType": media_type, "fileUri": part.url}}
        return self._inline(self._images.get(part.url), part.url)

    def _other(self, part: OtherPart) -> JsonObject:
        inner = as_object(part.source.get(part.type))
        if part.type == "input_audio":
            url = f"data:audio/{inner.get('format')};base64,{inner.get('data')}"
            return self._inline(None, url)
        if part.type == "file" and inner.get("file_data"):
            return self._inline(None, as_text(inner["file_data"]))
        raise refusal(self._provider, f"Content of the type '{part.type}' is not supported.")

    def _inline(self, known: Image | None, url: str) -> JsonObject:
        image = known or parse_data_uri(self._provider, url)
        if image is None:
            raise refusal(self._provider, "An image needs an https:, gs:// or data: URL.")
        data = base64.b64encode(image.data).decode()
        return {"inlineData": {"mimeType": image.media_type, "data": data}}


def build_result(text: str) -> JsonObject:
    """Return the object that tells the model a function's result."""
    try:
        value = orjson.loads(text)
        plain = isinstance(value, dict) and _is_plain(value, _MOST_LEVELS)
    except orjson.JSONDecodeError:
        plain = False
    return value if plain else {"output": text}


def is_fetched(url: str) -> bool:
    """Return whether Gemini needs the content behind an image's URL."""
    return url.startswith(("http://", "https://"))


def _signature_of(source: JsonObject) -> str:
    google = as_object(as_object(source.get("extra_content")).get("google"))
    return as_text(google.get("thought_signature"))


def _is_plain(value: object, levels: int) -> bool:
    """Tell whether no part is a reference, and none is nested more deeply than `levels`."""
    if isinstance(value, dict):
        parts: Iterable[object] = value.values()
        if "$ref" in value:
            return False
    elif isinstance(value, list):
        parts = value
    else:
        return True
    return levels > 0 and all(_is_plain(part, levels - 1) for part in parts)
