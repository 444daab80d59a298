"""Merges the chunks of a canonical stream into the answer that would have come in one piece: pure.

Used by `capture.py`. What has no choices, as some hosted models stream, becomes the list of its
events.
"""

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.types import JsonObject

# Of a delta: what comes in pieces. All else replaces what came before.
_PIECES = frozenset({"content", "reasoning", "reasoning_content", "refusal", "arguments", "text"})
_KINDS = {"chat.completion.chunk": "chat.completion"}
_CHOICE_BYTES = 64
_NUMBER_BYTES = 8


class Parts(list[str]):
    """Pieces of a text, joined once at the end."""


class _Indexed(dict[int, JsonObject]):
    """Items of a list that come in pieces, such as tool calls."""


class ChunkMerger:
    """Merges the chunks of one stream.

    Attributes:
        size: About how many bytes the merged answer has by now.
    """

    def __init__(self) -> None:
        """Start before the first chunk."""
        self.size = 0
        self._head: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}
        self._events: list[orjson.Fragment] = []

    def add(self, chunk: object, encoded: bytes = b"") -> None:
        """Add a chunk, which stays the caller's.

        Args:
            chunk: The chunk.
            encoded: The same as JSON, where it is at hand.
        """
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(chunk, dict) or not isinstance(choices, list):
            event = encoded or orjson.dumps(chunk)
            self._events.append(orjson.Fragment(event))
            self.size += len(event)
            return
        if not self._head:
            self._head = {name: value for name, value in chunk.items() if name != "choices"}
            self.size += _sizes(self._head)
        if usage := chunk.get("usage"):
            self._head["usage"] = usage
        for choice in as_objects(choices):
            self._add_choice(choice)

    def finish(self) -> object:
        """Return the answer as far as it has come; None: nothing of it has."""
        if not self._head and not self._choices:
            return self._events or None
        kind = self._head.get("object")
        answer = self._head | {
            "choices": [joined(self._choices[index]) for index in sorted(self._choices)]
        }
        if isinstance(kind, str):
            answer["object"] = _KINDS.get(kind, kind)
        return answer

    def _add_choice(self, choice: JsonObject) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        merged = self._choices.get(index)
        if merged is None:
            merged = self._choices[index] = {"index": index}
            self.size += _CHOICE_BYTES
        for name, value in choice.items():
            if name == "delta":
                self._merge(_inner(merged, "message"), as_object(value))
            elif isinstance(value, dict):
                self._merge(_inner(merged, name), value)
            else:
                self._merge(merged, {name: value})

    def _merge(self, into: JsonObject, delta: JsonObject) -> None:
        for name, value in delta.items():
            if name in _PIECES and isinstance(value, str):
                self._add_piece(into, name, value)
            elif isinstance(value, list):
                self._merge_list(into, name, value)
            elif isinstance(value, dict):
                self._merge(_inner(into, name), value)
            elif value is not None or name not in into:
                into[name] = value
                self.size += len(name) + _size(value)

    def _add_piece(self, into: JsonObject, name: str, piece: str) -> None:
        parts = into.get(name)
        if not isinstance(parts, Parts):
            parts = into[name] = Parts()
        parts.append(piece)
        self.size += _size(piece)

    def _merge_list(self, into: JsonObject, name: str, items: list[object]) -> None:
        """Add to a list: to the items with the same index, as of tool calls, or at its end."""
        for item in items:
            known = into.get(name)
            if isinstance(item, dict) and isinstance(index := item.get("index"), int):
                if not isinstance(known, _Indexed):
                    known = into[name] = _Indexed()
                self._merge(known.setdefault(index, {}), item)
                self.size += _CHOICE_BYTES
            else:
                if not isinstance(known, list) or isinstance(known, Parts):
                    known = into[name] = []
                known.append(item)
                self.size += _sizes(item)


def _inner(into: JsonObject, name: str) -> JsonObject:
    """Return the object in a field, which is made where there is none."""
    known = into.get(name)
    if not isinstance(known, dict):
        known = into[name] = {}
    return known


def joined(value: object) -> object:
    """Return a value with its texts in one piece."""
    if isinstance(value, Parts):
        return "".join(value)
    if isinstance(value, _Indexed):
        items = (value[index] for index in sorted(value))
        return [joined({key: item[key] for key in item if key != "index"}) for item in items]
    if isinstance(value, dict):
        return {name: joined(item) for name, item in value.items()}
    if isinstance(value, list):
        return [joined(item) for item in value]
    return value


def _sizes(value: object) -> int:
    """Return about how many bytes a value has as JSON."""
    if isinstance(value, dict):
        return sum(len(name) + _sizes(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(map(_sizes, value))
    return _size(value)


def _size(value: object) -> int:
    # A text that is no ASCII may take up to four times as much; the end counts exactly.
    return len(value) if isinstance(value, str) else _NUMBER_BYTES
