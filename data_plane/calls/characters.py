"""Counts the characters of prompts and answers, where providers count no tokens: pure.

Used by `usage/ledger.py` for prompts, by `upstreams/relay.py` and `upstreams/streaming.py` for
answers.
"""

from modelplane.adapters.providers.types import JsonObject

# What has the texts of an item that has no `content`.
_OF_OTHER_APIS = ("parts", "text", "output")


def prompt_characters(body: JsonObject, fields: frozenset[str]) -> int:
    """Return the number of characters in the texts of a canonical query.

    Args:
        body: The query.
        fields: Those that hold the prompt: a text, or a list of texts or of messages.
    """
    total = 0
    # Not a generator: each query comes here.
    # A body has few fields, and most of those that may hold a prompt are of other APIs.
    for name, value in body.items():
        if name not in fields:
            continue
        if isinstance(value, list):
            for item in value:
                total += len(item) if isinstance(item, str) else _item(item)
        elif isinstance(value, str):
            total += len(value)
        elif value is not None:
            total += _item(value)
    return total


def answer_characters(answer: JsonObject) -> int:
    """Return the number of characters in the texts of a canonical answer or chunk."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return 0
    total = 0
    for choice in choices:
        if isinstance(choice, dict):
            message = choice.get("delta") or choice.get("message")
            content = message.get("content") if isinstance(message, dict) else None
            # Each chunk of a stream comes here, and most have a text.
            total += len(content) if isinstance(content, str) else _content(message)
            if "text" in choice:
                total += _texts(choice["text"])
    return total


def _item(item: object) -> int:
    """Return the length of a message, or of what other APIs have in its place."""
    if not isinstance(item, dict):
        return 0
    content = item.get("content")
    # Nearly all are such.
    if isinstance(content, str):
        return len(content)
    if content is not None:
        return _content(item) if isinstance(content, list) else 0
    for name in _OF_OTHER_APIS:
        if (value := item.get(name)) is not None:
            return _content({"content": value})
    return 0


def _content(message: object) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(_texts(part.get("text")) for part in content if isinstance(part, dict))
    return _texts(content)


def _texts(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(len(item) for item in value if isinstance(item, str))
    return 0
