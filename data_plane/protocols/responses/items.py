"""Reads the items of a request of the Responses API into messages; pure.

API: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
Used by `request.py`. Calls that follow each other, and what the assistant said before them, are one
message of a chat.
"""

from collections.abc import Callable, Mapping

import orjson

from modelplane.adapters.providers.canonical.answers import build_tool_call
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.base import Losses
from modelplane.data_plane.protocols.thoughts import unseal

_ROLES = ("user", "assistant", "system", "developer")
_TEXTS = ("input_text", "output_text", "text")


def read_items(value: object, losses: Losses) -> list[JsonObject]:
    """Return the messages of a request's `input`.

    Raises:
        InvalidParameter: It is none, or has an item that a chat cannot express.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise InvalidParameter("'input' must be a text or a list of items.")
    messages = _Messages(losses)
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise InvalidParameter(f"input[{index}] must be an object.")
        kind = item.get("type") or ("message" if "role" in item else None)
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise InvalidParameter(
                f"input[{index}] is of type '{kind}', which cannot be expressed for this endpoint."
            )
        read(messages, item, f"input[{index}]")
    return messages.done


class _Messages:
    """The messages so far."""

    def __init__(self, losses: Losses) -> None:
        self.done: list[JsonObject] = []
        self._losses = losses
        # What the assistant thought before what comes next.
        self._thoughts: list[JsonObject] = []

    def message(self, item: JsonObject, where: str) -> None:
        """Add a message."""
        role, content = item.get("role"), item.get("content")
        if role not in _ROLES:
            raise InvalidParameter(f"{where}.role must be {', '.join(_ROLES[:-1])} or developer.")
        if not isinstance(content, str):
            content = self._parts(content, where)
        if role == "assistant":
            self._assistant()["content"] = content
        else:
            self.done.append({"role": role, "content": content})

    def call(self, item: JsonObject, where: str) -> None:
        """Add a call of a function."""
        self._call(item, where, item.get("arguments"))

    def custom_call(self, item: JsonObject, where: str) -> None:
        """Add a call of a tool that takes a text."""
        arguments = orjson.dumps({"input": item.get("input")}).decode()
        self._call(item, where, arguments)

    def result(self, item: JsonObject, where: str) -> None:
        """Add the result of a call."""
        call_id, output = item.get("call_id"), item.get("output")
        if not isinstance(call_id, str):
            raise InvalidParameter(f"{where} must have a 'call_id'.")
        images: list[JsonObject] = []
        if not isinstance(output, str):
            parts = self._parts(output, where)
            images = [part for part in parts if part["type"] != "text"]
            output = "\n".join(str(part["text"]) for part in parts if part["type"] == "text")
        self.done.append({"role": "tool", "tool_call_id": call_id, "content": output})
        if images:
            self._losses.note("output images=moved behind the result")
            self.done.append({"role": "user", "content": images})

    def reasoning(self, item: JsonObject, _where: str) -> None:
        """Add what was thought, if it was thought here."""
        blocks = unseal(item.get("encrypted_content"))
        if blocks:
            self._thoughts += blocks
        else:
            self._losses.note("reasoning items=dropped")

    def _call(self, item: JsonObject, where: str, arguments: object) -> None:
        call_id, name = item.get("call_id"), item.get("name")
        if not (isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str)):
            raise InvalidParameter(f"{where} must have a 'call_id', a 'name' and its input.")
        message = self._assistant(joins=True)
        calls = message.get("tool_calls")
        if not isinstance(calls, list):
            message["tool_calls"] = calls = []
        calls.append(build_tool_call(call_id, name, arguments))

    def _assistant(self, *, joins: bool = False) -> JsonObject:
        """Return the assistant's message that comes next; `joins`: which may be the last one."""
        last = self.done[-1] if self.done else {}
        if joins and last.get("role") == "assistant" and not self._thoughts:
            return last
        message: JsonObject = {"role": "assistant", "content": None}
        if self._thoughts:
            message["thinking_blocks"] = self._thoughts
            self._thoughts = []
        self.done.append(message)
        return message

    def _parts(self, content: object, where: str) -> list[JsonObject]:
        if not isinstance(content, list):
            raise InvalidParameter(f"{where} must have a text or a list of parts.")
        return [self._part(part, where) for part in content]

    def _part(self, part: object, where: str) -> JsonObject:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict):
            if kind in _TEXTS and isinstance(part.get("text"), str):
                return {"type": "text", "text": part["text"]}
            if kind == "refusal" and isinstance(part.get("refusal"), str):
                return {"type": "text", "text": part["refusal"]}
            url = part.get("image_url")
            if kind == "input_image" and isinstance(url, str):
                detail = {"detail": part["detail"]} if part.get("detail") else {}
                return {"type": "image_url", "image_url": {"url": url, **detail}}
        raise InvalidParameter(
            f"{where} has a part of type '{kind}', which cannot be expressed for this endpoint."
        )


_READERS: Mapping[str, Callable[[_Messages, JsonObject, str], None]] = {
    "message": _Messages.message,
    "function_call": _Messages.call,
    "function_call_output": _Messages.result,
    "custom_tool_call": _Messages.custom_call,
    "custom_tool_call_output": _Messages.result,
    "reasoning": _Messages.reasoning,
}
