"""Reads the turns of a request of the Gemini API into messages; pure.

API: https://ai.google.dev/api/caching#Content. Used by `request.py`. A result finds its call by its
identifier or, as older clients have none, as the next one of its name.
"""

from collections.abc import Iterator

from modelplane.adapters.providers.canonical.answers import build_tool_call
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses, encode
from modelplane.data_plane.protocols.gemini.fields import camel, read_objects
from modelplane.data_plane.protocols.thoughts import in_usual_base64, unseal

_ROLES = (None, "user", "model", "function")


def read_contents(contents: object, losses: Losses) -> Iterator[JsonObject]:
    """Yield the messages of a request's `contents`.

    Raises:
        InvalidParameter: They are none, or have a part that a chat cannot express.
    """
    reader = _Reader(losses)
    for index, content in enumerate(read_objects(contents, "contents")):
        where = f"contents[{index}]"
        role = content.get("role")
        if role not in _ROLES:
            raise InvalidParameter(f"{where}.role must be user or model.")
        parts = [
            {camel(name): value for name, value in part.items() if value is not None}
            for part in read_objects(content.get("parts"), f"{where}.parts")
        ]
        yield from reader.model(parts, where) if role == "model" else reader.user(parts, where)


def read_text(content: object, where: str) -> str:
    """Return the text of a content that has nothing else.

    Raises:
        InvalidParameter: It has.
    """
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [part.get("text") for part in read_objects(parts, f"{where}.parts")]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidParameter(f"'{where}' must have parts that are texts.")
    return "\n".join(map(str, texts))


class _Reader:
    """Reads turns, and remembers the calls that have no result yet."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        # Names of calls by identifier, in their order.
        self._waiting: dict[str, str] = {}
        self._count = 0

    def user(self, parts: list[JsonObject], where: str) -> Iterator[JsonObject]:
        """Yield the results of calls, then what the user says."""
        said: list[JsonObject] = []
        for part in parts:
            if "functionResponse" in part:
                yield self._result(part["functionResponse"], where)
            else:
                said.append(self._part(part, where))
        if said:
            yield {"role": "user", "content": said}

    def model(self, parts: list[JsonObject], where: str) -> Iterator[JsonObject]:
        """Yield what the model has said, as one message."""
        said: list[JsonObject] = []
        calls: list[JsonObject] = []
        thoughts: list[JsonObject] = []
        for part in parts:
            thoughts += unseal(part.get("thoughtSignature"))
            if "functionCall" in part:
                calls.append(self._call(part["functionCall"], where))
            elif part.get("thought") is True:
                self._losses.note("thoughts=dropped where no signature goes with them")
            elif part.keys() - {"thoughtSignature"}:
                said.append(self._part(part, where))
        message: JsonObject = {"role": "assistant", "content": said or None}
        if thoughts:
            message["thinking_blocks"] = thoughts
        if calls:
            message["tool_calls"] = calls
        yield message

    def _part(self, part: JsonObject, where: str) -> JsonObject:
        if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        data, file = part.get("inlineData"), part.get("fileData")
        if isinstance(data, dict):
            kind = str(data.get("mimeType") or data.get("mime_type"))
            if kind.startswith("image/"):
                url = f"data:{kind};base64,{in_usual_base64(str(data.get('data')))}"
                return {"type": "image_url", "image_url": {"url": url}}
        if isinstance(file, dict):
            uri = file.get("fileUri") or file.get("file_uri")
            kind = str(file.get("mimeType") or file.get("mime_type") or "image/")
            if isinstance(uri, str) and uri.startswith("https://") and kind.startswith("image/"):
                return {"type": "image_url", "image_url": {"url": uri}}
        raise InvalidParameter(
            f"{where} has a part with {', '.join(sorted(part))} that cannot be expressed for this "
            "endpoint: texts and images can."
        )

    def _call(self, value: object, where: str) -> JsonObject:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str):
            raise InvalidParameter(f"A functionCall in {where} must have a 'name'.")
        self._count += 1
        call_id = str(value.get("id") or f"call_{self._count}")
        self._waiting[call_id] = name
        return build_tool_call(call_id, name, encode(value.get("args") or {}).decode())

    def _result(self, value: object, where: str) -> JsonObject:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str):
            raise InvalidParameter(f"A functionResponse in {where} must have a 'name'.")
        call_id = value.get("id")
        if not isinstance(call_id, str) or call_id not in self._waiting:
            named = (known for known, called in self._waiting.items() if called == name)
            call_id = next(named, None)
        if call_id is None:
            raise InvalidParameter(
                f"The functionResponse of '{name}' in {where} answers no functionCall before it."
            )
        del self._waiting[call_id]
        text = encode(value.get("response") or {}).decode()
        return {"role": "tool", "tool_call_id": call_id, "content": text}
