"""Counts the characters of prompts and answers, where providers count no tokens: pure.

Used by `ledger.py` for prompts, by `relay.py` and `streaming.py` for answers.
"""

from modelplane.adapters.providers.types import JsonObject

_PROMPT_FIELDS = ("prompt", "input")


def estimate_tokens(characters: int) -> int:
    """Return about how many tokens a text has, as the mirrored API estimates it."""
    return (characters + 1) // 4


def prompt_characters(body: JsonObject) -> int:
    """Return the number of characters in the texts of a canonical query."""
    messages = body.get("messages")
    if isinstance(messages, list):
        # Not a generator: each query comes here.
        total = 0
        for message in messages:
            total += _content(message)
        return total
    return sum(_texts(body.get(name)) for name in _PROMPT_FIELDS)


def answer_characters(answer: JsonObject) -> int:
    """Return the number of characters in the texts of a canonical answer or chunk."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return 0
    total = 0
    for choice in choices:
        if isinstance(choice, dict):
            total += _content(choice.get("delta") or choice.get("message"))
            if "text" in choice:
                total += _texts(choice["text"])
    return total


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
