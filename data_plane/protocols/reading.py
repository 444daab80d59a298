"""What codecs share: how requests are read field by field, and the texts of answers; pure."""

from collections.abc import Collection, Mapping

from modelplane.adapters.providers.canonical.json_values import as_objects, as_text
from modelplane.adapters.providers.canonical.messages import ToolCall
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter


def start_chat(body: JsonObject, renamed: Mapping[str, str]) -> JsonObject:
    """Return a chat with what a request has under another name, or under the same.

    Args:
        body: The request.
        renamed: Canonical names by the protocol's.
    """
    chat: JsonObject = {
        canonical: body[name] for name, canonical in renamed.items() if body.get(name) is not None
    }
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return chat


def refuse_unknown(body: JsonObject, known: Collection[str]) -> None:
    """Refuse what no chat can express.

    Raises:
        InvalidParameter: A field is not one of those that are known.
    """
    for name, value in body.items():
        if name not in known and value is not None:
            raise InvalidParameter(f"'{name}' cannot be expressed for this endpoint: leave it out.")


def text_of(content: object) -> str:
    """Return the text of a message's content, which may be one or parts."""
    if isinstance(content, str):
        return content
    return "".join(as_text(part.get("text")) for part in as_objects(content))


def parse_input(arguments: str) -> JsonObject:
    """Return the arguments of a call as an object; what is none stays readable in one."""
    return ToolCall("", "", arguments).parse_arguments()
