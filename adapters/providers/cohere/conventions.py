"""Terms that Cohere's chat, generate and embed share: sampling, finish reasons, usage. Pure.

Usage counts `tokens`, which is what the model saw, the chat template included, and what limits
are about; `billed_units`, the caller's text alone, only where there is nothing else.
"""

from collections.abc import Iterable, Mapping

from modelplane.adapters.providers.canonical.answers import build_usage, estimate_tokens
from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.canonical.parameters import Parameters, Ranges
from modelplane.adapters.providers.errors import (
    AdapterError,
    ProviderFailed,
    ProviderTimeout,
    RequestRefused,
    UnusableAnswer,
)
from modelplane.adapters.providers.types import JsonObject, Usage, as_count, tokens_of

_FINISH_REASONS: Mapping[object, str] = {
    None: "stop",
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILURES: Mapping[object, type[AdapterError]] = {
    "ERROR": ProviderFailed,
    "ERROR_LIMIT": RequestRefused,
    "TIMEOUT": ProviderTimeout,
    "USER_CANCEL": UnusableAnswer,
}


def read_sampling(parameters: Parameters, ranges: Ranges) -> None:
    """Give the sampling parameters Cohere's names and limits; OpenAI's `top_p` of 1 means all."""
    parameters.fit(ranges)
    parameters.rename("top_p", "p")
    parameters.rename("top_k", "k")


def read_finish(provider: str, reason: object, detail: object = None) -> JsonObject:
    """Return the fields of a choice that say why it ended.

    Args:
        provider: Name that errors carry.
        reason: Cohere's reason; an unknown one is passed on beside a plain `stop`.
        detail: What Cohere said about a failure.

    Raises:
        AdapterError: The answer ended because it failed.
    """
    key = reason if isinstance(reason, str) else None
    if failure := _FAILURES.get(key):
        raise failure(provider, detail or {"finish_reason": reason})
    if key in _FINISH_REASONS:
        return {"finish_reason": _FINISH_REASONS[key]}
    return {"finish_reason": "stop", "provider_finish_reason": reason}


def read_counts(counts: JsonObject) -> Usage | None:
    """Return what Cohere's `usage` or `meta` counts; None where it counts nothing."""
    tokens, billed = as_object(counts.get("tokens")), as_object(counts.get("billed_units"))
    prompt = _first_count(tokens, billed, "input_tokens")
    completion = _first_count(tokens, billed, "output_tokens")
    return None if prompt is None and completion is None else Usage(prompt, completion)


def read_usage(
    counts: JsonObject, prompts: Iterable[str], answers: Iterable[int] | None
) -> JsonObject:
    """Return canonical usage.

    Args:
        counts: Cohere's `usage` or `meta`.
        prompts: Texts to estimate from, where Cohere did not count.
        answers: Characters of each text of the answer, for the same; None: no text is generated.
    """
    counted = read_counts(counts) or Usage()
    prompt = counted.input_tokens
    completion = 0 if answers is None else counted.output_tokens
    estimated = prompt is None or completion is None
    if prompt is None:
        prompt = sum(estimate_tokens(text) for text in prompts)
    if completion is None:
        completion = sum(map(tokens_of, answers or ()))
    cached = as_count(counts.get("cached_tokens")) or 0
    return build_usage(prompt, completion, cached=min(cached, prompt), estimated=estimated)


def _first_count(tokens: JsonObject, billed: JsonObject, name: str) -> int | None:
    counted = as_count(tokens.get(name))
    return as_count(billed.get(name)) if counted is None else counted


def sum_usage(usages: Iterable[JsonObject]) -> JsonObject:
    """Return the usage of several requests for one query."""
    listed = list(usages)
    return build_usage(
        sum(as_count(usage["prompt_tokens"]) or 0 for usage in listed),
        sum(as_count(usage["completion_tokens"]) or 0 for usage in listed),
        estimated=any(usage.get("estimated") for usage in listed),
    )
