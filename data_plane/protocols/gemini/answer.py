"""Writes canonical answers in the form of the Gemini API; pure.

API: https://ai.google.dev/api/generate-content#generatecontentresponse. `stream.py` writes streams,
whose events have the same form.
"""

from collections.abc import Iterator, Mapping

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject, Usage, parse_usage
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.reading import parse_input, text_of
from modelplane.data_plane.protocols.thoughts import seal

_FINISH_REASONS: Mapping[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
# https://cloud.google.com/apis/design/errors
_RETRY = "type.googleapis.com/google.rpc.RetryInfo"
_STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def build_answer(answer: JsonObject, *, thoughts: bool) -> JsonObject:
    """Return a whole canonical answer.

    Args:
        answer: The answer.
        thoughts: Whether the caller wants to see what the model thought.
    """
    candidates = [
        build_candidate(
            choice.get("index"),
            list(build_parts(as_object(choice.get("message")), thoughts=thoughts)),
            choice.get("finish_reason"),
        )
        for choice in as_objects(answer.get("choices"))
    ]
    return {"candidates": candidates, **build_tail(answer)}


def build_candidate(index: object, parts: list[JsonObject], finish_reason: object) -> JsonObject:
    """Return one candidate, which may be a piece of one."""
    candidate: JsonObject = {
        "content": {"role": "model", "parts": parts},
        "index": index if isinstance(index, int) else 0,
    }
    if finish_reason:
        candidate["finishReason"] = _FINISH_REASONS.get(str(finish_reason), "OTHER")
    return candidate


def build_tail(answer: JsonObject) -> JsonObject:
    """Return what an answer, or an event of a stream, has beside its candidates."""
    tail: JsonObject = {"modelVersion": answer.get("model"), "responseId": answer.get("id")}
    if usage := answer.get("usage"):
        tail["usageMetadata"] = build_usage(usage)
    return tail


def build_usage(usage: object) -> JsonObject:
    """Return a canonical usage as the API has it, where thoughts are counted apart."""
    counts = parse_usage({"usage": usage}) or Usage()
    read, written = counts.input_tokens or 0, counts.output_tokens or 0
    built: JsonObject = {"promptTokenCount": read, "totalTokenCount": read + written}
    thought = min(counts.reasoning_tokens or 0, written)
    if thought:
        built["thoughtsTokenCount"] = thought
    built["candidatesTokenCount"] = written - thought
    if counts.cached_tokens:
        built["cachedContentTokenCount"] = counts.cached_tokens
    return built


def build_parts(message: JsonObject, *, thoughts: bool) -> Iterator[JsonObject]:
    """Yield the parts of a message; its signature goes with the first call, else by itself."""
    blocks = as_objects(message.get("thinking_blocks"))
    if thoughts and (thought := as_text(message.get("reasoning_content"))):
        yield {"text": thought, "thought": True}
    text = text_of(message.get("content")) or as_text(message.get("refusal"))
    signature: JsonObject = {"thoughtSignature": seal(blocks)} if blocks else {}
    calls = as_objects(message.get("tool_calls"))
    if text or (signature and not calls):
        yield {"text": text, **({} if calls else signature)}
    for call in calls:
        function = as_object(call.get("function"))
        called: JsonObject = {
            "id": call.get("id"),
            "name": function.get("name"),
            "args": parse_input(as_text(function.get("arguments"))),
        }
        yield {"functionCall": called, **signature}
        signature = {}


def build_error(refusal: Refusal) -> JsonObject:
    """Return the body of a refusal."""
    status = refusal.status.http
    error: JsonObject = {
        "code": status,
        "message": shorten(refusal.message),
        "status": _STATUSES.get(status, "INTERNAL"),
    }
    if refusal.retry_after is not None:
        # Clients of Google's APIs look for it here, not in a header.
        error["details"] = [{"@type": _RETRY, "retryDelay": f"{refusal.retry_after}s"}]
    return {"error": error}
