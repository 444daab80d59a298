"""Code that Gemini ran in answering, and what came of it, as fenced blocks of text.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/code-execution-api. The
canonical form has no place of its own for either. Used by `reader.py`.
"""

import re

from modelplane.adapters.providers.canonical.json_values import as_text
from modelplane.adapters.providers.types import JsonObject

_FENCES = re.compile("`+")
_SHORTEST_FENCE = 3
_SUCCESS = ("", "OUTCOME_OK")


def read_executed_code(part: JsonObject) -> str:
    """Return the code or the result that a part of an answer holds, empty where it holds none."""
    code, result = part.get("executableCode"), part.get("codeExecutionResult")
    if isinstance(code, dict):
        return _block(as_text(code.get("language")).lower(), as_text(code.get("code")))
    if not isinstance(result, dict):
        return ""
    outcome, output = as_text(result.get("outcome")), as_text(result.get("output"))
    return _block("text", output if outcome in _SUCCESS else f"{outcome}\n{output}")


def _block(language: str, text: str) -> str:
    # Longer than every fence inside, which would end the block.
    longest = max(map(len, _FENCES.findall(text)), default=0)
    fence = "`" * max(_SHORTEST_FENCE, longest + 1)
    body = text.removesuffix("\n")
    return f"\n\n{fence}{language}\n{body}\n{fence}\n\n"
