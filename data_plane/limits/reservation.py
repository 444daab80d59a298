"""How many tokens a query may use, before it is known: cheap estimates.

Used by `gate.py`, which settles on the real usage afterwards.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.types import JsonObject, Query, tokens_of

# An answer without a bound of its own is taken to be no longer than this; a stream that gets longer
# takes more as it goes.
DEFAULT_OUTPUT_TOKENS = 512
# What a provider counts for the frame around a text, and for a picture or a sound.
_TOKENS_PER_ITEM = 4
_TOKENS_PER_MEDIUM = 1_000
# Deeper than any provider's schema.
_MAX_DEPTH = 50
# What a model reads beside the prompt.
_TOOL_FIELDS = ("tools", "functions")
_PLAIN_FIELDS = 2
_BOUNDS = frozenset({"max_completion_tokens", "max_tokens"})
_MEDIA = frozenset({"image_url", "input_audio", "file"})


def estimate_prompt(query: Query, fields: Sequence[str]) -> int:
    """Return about how many tokens the prompt of a query has.

    Args:
        query: The query.
        fields: Fields of its body that hold the prompt.
    """
    body, total = query.body, 0
    for name in fields:
        value = body.get(name)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            total += sum(map(_message_tokens, value))
        else:
            total += _tokens(value)
    for name in _TOOL_FIELDS:
        if name in body:
            total += _tokens(body[name])
    return total


def output_bound(body: JsonObject) -> int | None:
    """Return the greatest number of tokens that the caller wants, None where they did not say."""
    if _BOUNDS.isdisjoint(body):
        return None
    given = [body.get(name) for name in _BOUNDS]
    bounds = [value for value in given if isinstance(value, int) and not isinstance(value, bool)]
    # Of two, providers differ in which they heed; one below zero bounds nothing.
    if not bounds or min(bounds) < 0:
        return None
    choices, prompts = body.get("n"), body.get("prompt")
    answers = choices if isinstance(choices, int) and choices > 0 else 1
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    return max(bounds) * answers


def _message_tokens(message: object) -> int:
    if isinstance(message, dict) and len(message) <= _PLAIN_FIELDS:
        content = message.get("content")
        if isinstance(content, str):
            # The usual case, `role` and `content`, costs least.
            return _TOKENS_PER_ITEM + tokens_of(len(content))
    return _tokens(message)


def _tokens(value: object, depth: int = 0) -> int:
    if isinstance(value, str):
        return tokens_of(len(value))
    if depth >= _MAX_DEPTH:
        return 0
    if isinstance(value, list):
        # A list of numbers is a text that is split into tokens already.
        return sum(1 if isinstance(item, int) else _tokens(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return _TOKENS_PER_ITEM + sum(
            _TOKENS_PER_MEDIUM if name in _MEDIA else _tokens(item, depth + 1)
            for name, item in value.items()
        )
    return 0
