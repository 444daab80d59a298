"""Fits a request of the Gemini API to Vertex AI, which takes a little less; pure.

Used by `passage.py`. Contents need a role there. The identifiers of calls are no fields of models
before Gemini 3: https://github.com/vercel/ai/issues/15664; later ones make them themselves:
https://github.com/BerriAI/litellm/pull/34603.
"""

import re

from modelplane.adapters.providers.types import JsonObject

_WITH_IDS = re.compile(r"gemini-(?:[3-9]|[1-9]\d)")
_CALLS = ("functionCall", "functionResponse", "function_call", "function_response")
_ID = "id"


def fit_body(body: JsonObject, model: str) -> tuple[JsonObject, tuple[str, ...]]:
    """Return a body for Vertex AI, and what was adapted.

    Args:
        body: The request's.
        model: The provider's name for the model.
    """
    contents = body.get("contents")
    if not isinstance(contents, list):
        return dict(body), ()
    fitted = [
        {"role": "user", **content} if isinstance(content, dict) else content
        for content in contents
    ]
    adapted: tuple[str, ...] = ()
    if not _WITH_IDS.match(model) and any(map(_has_ids, fitted)):
        fitted = [_without_ids(content) for content in fitted]
        adapted = ("id of function calls=dropped",)
    return {**body, "contents": fitted}, adapted


def _parts_of(content: object) -> list[object]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) else []


def _has_ids(content: object) -> bool:
    return any(
        isinstance(call := part.get(kind), dict) and _ID in call
        for part in _parts_of(content)
        if isinstance(part, dict)
        for kind in _CALLS
    )


def _without_ids(content: object) -> object:
    if not isinstance(content, dict) or not _has_ids(content):
        return content
    return {**content, "parts": [_bare(part) for part in _parts_of(content)]}


def _bare(part: object) -> object:
    if not isinstance(part, dict):
        return part
    bare = dict(part)
    for kind in _CALLS:
        call = bare.get(kind)
        if isinstance(call, dict):
            bare[kind] = {name: value for name, value in call.items() if name != _ID}
    return bare
