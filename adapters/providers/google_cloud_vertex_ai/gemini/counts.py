"""What Gemini counts and weighs: usage and log probabilities, in canonical form.

Used by `reader.py` and `answers.py`.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.canonical.answers import build_usage
from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.types import JsonObject, Query, Task, as_count, tokens_of


def parse_usage(usage: JsonObject) -> JsonObject:
    """Return Gemini's token counts in canonical form.

    The prompt's count includes what was cached, not what tools added to the prompt.
    """
    thoughts = as_count(usage.get("thoughtsTokenCount")) or 0
    return build_usage(
        (as_count(usage.get("promptTokenCount")) or 0)
        + (as_count(usage.get("toolUsePromptTokenCount")) or 0),
        (as_count(usage.get("candidatesTokenCount")) or 0) + thoughts,
        cached=as_count(usage.get("cachedContentTokenCount")) or 0,
        reasoning=thoughts,
    )


def estimate_usage(prompt_length: int, answer_length: int) -> JsonObject:
    """Return the usage of an answer that reports none, by characters, marked as an estimate."""
    prompt, answer = map(tokens_of, (prompt_length, answer_length))
    return build_usage(prompt, answer, estimated=True)


def measure_messages(query: Query) -> int:
    """Return the characters of a chat's texts, should its tokens have to be estimated."""
    messages = query.body.get("messages")
    return sum(
        len(content)
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(content := as_object(message).get("content"), str)
    )


def sum_usages(usages: Sequence[JsonObject]) -> JsonObject:
    """Return the usage of several answers together."""
    if len(usages) == 1:
        return usages[0]

    def total(name: str) -> int:
        return sum(as_count(usage.get(name)) or 0 for usage in usages)

    def detail(group: str, name: str) -> int:
        return sum(as_count(as_object(usage.get(group)).get(name)) or 0 for usage in usages)

    return build_usage(
        total("prompt_tokens"),
        total("completion_tokens"),
        cached=detail("prompt_tokens_details", "cached_tokens"),
        reasoning=detail("completion_tokens_details", "reasoning_tokens"),
        estimated=any("estimated" in usage for usage in usages),
    )


def parse_logprobs(result: object) -> list[JsonObject]:
    """Return the entries of a `logprobsResult`, in the form of chats."""
    chosen = as_object(result).get("chosenCandidates")
    tops = as_object(result).get("topCandidates")
    entries = []
    for position, item in enumerate(chosen if isinstance(chosen, list) else ()):
        top = tops[position] if isinstance(tops, list) and position < len(tops) else {}
        others = as_object(top).get("candidates")
        alternatives = [_entry(other) for other in (others if isinstance(others, list) else ())]
        entries.append(_entry(item) | {"top_logprobs": alternatives})
    return entries


def build_logprobs(task: Task, entries: list[JsonObject]) -> JsonObject | None:
    """Return the `logprobs` of a choice; None where it has none."""
    if not entries:
        return None
    if task is Task.CHAT:
        return {"content": entries, "refusal": None}
    offsets, length = [], 0
    for entry in entries:
        offsets.append(length)
        length += len(str(entry["token"]))
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [_by_token(entry["top_logprobs"]) for entry in entries],
        "text_offset": offsets,
    }


def _by_token(entries: object) -> JsonObject:
    found = entries if isinstance(entries, list) else []
    return {entry["token"]: entry["logprob"] for entry in found}


def _entry(item: object) -> JsonObject:
    candidate = as_object(item)
    token = str(candidate.get("token") or "")
    logprob = candidate.get("logProbability")
    number = float(logprob) if isinstance(logprob, int | float) else 0.0
    return {"token": token, "logprob": number, "bytes": list(token.encode(errors="replace"))}
