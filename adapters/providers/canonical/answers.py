"""Builds canonical answers, chunks and usage for adapters whose provider speaks another format.

`messages.py` reads what comes from the caller.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from modelplane.adapters.providers.canonical.json_values import as_text
from modelplane.adapters.providers.types import (
    JsonObject,
    tokens_of,
)

Clock: TypeAlias = Callable[[], float]

# Seconds since the epoch, for `created` where the provider gives no time.
WALL_CLOCK: Clock = time.time  # noqa: TID251 - the one default; tests give their own clock.


def build_usage(
    prompt: int,
    completion: int,
    *,
    cached: int = 0,
    written: int = 0,
    reasoning: int = 0,
    estimated: bool = False,
) -> JsonObject:
    """Return a canonical usage.

    Args:
        prompt: All tokens of the input, cached ones included.
        completion: All tokens of the output, reasoning included.
        cached: Tokens of the input that were read from a cache.
        written: Tokens of the input that were written to a cache, which costs more.
        reasoning: Tokens of the output that are reasoning.
        estimated: Whether the numbers are an estimate, which the usage then says.
    """
    usage: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    if written:
        # No word of OpenAI's covers these.
        usage["cache_creation_input_tokens"] = written
    if estimated:
        usage["estimated"] = True
    return usage


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, where the provider does not say."""
    return tokens_of(len(text))


def build_tool_call(call_id: str, name: str, arguments: str) -> JsonObject:
    """Return one of a message's `tool_calls`; `arguments` is JSON text."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def build_thoughtful_message(
    text: str, calls: Sequence[JsonObject], thought: Sequence[JsonObject]
) -> JsonObject:
    """Return the message of a model that thinks in blocks, which the next query has to carry.

    Args:
        text: The text; without any, `content` is null beside calls.
        calls: Its `tool_calls`.
        thought: Its `thinking_blocks`; what they say is its `reasoning_content` too.
    """
    message: JsonObject = {"content": text if text or not calls else None}
    if thought:
        if reasoning := "".join(as_text(block.get("thinking")) for block in thought):
            message["reasoning_content"] = reasoning
        message["thinking_blocks"] = list(thought)
    if calls:
        message["tool_calls"] = list(calls)
    return message


def build_chat_answer(
    answer_id: str, created: int, choices: Sequence[JsonObject], usage: JsonObject
) -> JsonObject:
    """Return a whole chat answer; the gateway adds `model`."""
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "choices": list(choices),
        "usage": usage,
    }


def build_chat_choice(message: JsonObject, finish_reason: str, index: int = 0) -> JsonObject:
    """Return one choice of a chat answer; `role` is added to the message."""
    return {
        "index": index,
        "message": {"role": "assistant", **message},
        "logprobs": None,
        "finish_reason": finish_reason,
    }


def build_completion_answer(
    answer_id: str, created: int, choices: Sequence[JsonObject], usage: JsonObject
) -> JsonObject:
    """Return a whole completion; the gateway adds `model`."""
    return {
        "id": answer_id,
        "object": "text_completion",
        "created": created,
        "choices": list(choices),
        "usage": usage,
    }


def build_completion_choice(text: str, finish_reason: str | None, index: int = 0) -> JsonObject:
    """Return one choice of a completion, or of one of its chunks."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


class ChunkBuilder:
    """Builds the chunks of one streamed answer, which share id, kind and time."""

    __slots__ = ("_shared",)

    def __init__(self, answer_id: str, created: int, kind: str = "chat.completion.chunk") -> None:
        """Start one answer.

        Args:
            answer_id: The answer's id.
            created: Seconds since the epoch.
            kind: Value of `object`; `text_completion` for a completion.
        """
        self._shared = {"id": answer_id, "object": kind, "created": created}

    def delta(
        self,
        delta: JsonObject,
        finish_reason: str | None = None,
        index: int = 0,
        more: JsonObject | None = None,
    ) -> JsonObject:
        """Return a chat's chunk with one choice, which has the fields of `more` too."""
        choice = {
            **(more or {}),
            "index": index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return {**self._shared, "choices": [choice]}

    def text(
        self,
        text: str,
        finish_reason: str | None = None,
        index: int = 0,
        more: JsonObject | None = None,
    ) -> JsonObject:
        """Return a completion's chunk with one choice, which has the fields of `more` too."""
        choice = {**(more or {}), **build_completion_choice(text, finish_reason, index)}
        return {**self._shared, "choices": [choice]}

    def usage(self, usage: JsonObject) -> JsonObject:
        """Return the last chunk, which has no choice."""
        return {**self._shared, "choices": [], "usage": usage}


def build_tool_start(index: int, call_id: str, name: str) -> JsonObject:
    """Return the delta that opens a tool call; `index` is the call's place among the calls."""
    return {"tool_calls": [{"index": index, **build_tool_call(call_id, name, "")}]}


def build_tool_fragment(index: int, arguments: str) -> JsonObject:
    """Return a delta with the next piece of a tool call's arguments."""
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
