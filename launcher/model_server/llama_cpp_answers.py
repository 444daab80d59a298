"""Makes of llama.cpp's answers, and of the chunks of one, what OpenAI's API says.

They differ in what it adds, in the form of the probabilities of completions, and in that only the
last chunk tells the usage. Before: `llama_cpp`.
"""

from __future__ import annotations

from typing import Any

from .language import CHAT, EMBEDDINGS, Question

_LEAST_LOGPROB = -9999.0


def asked_of(question: Question) -> dict[str, Any]:
    """Return what the engine is asked, so that its answer has all that is told."""
    body = dict(question.body)
    if question.task != EMBEDDINGS and question.alternatives is not None:
        # Without one it would give no probabilities at all.
        count = max(1, question.alternatives)
        body["top_logprobs" if question.task == CHAT else "logprobs"] = count
    if question.stream:
        # Each chunk tells the usage, which is made of these.
        body.update(timings_per_token=True, stream_options={"include_usage": True})
    return body


class Shaping:
    """Shapes one answer."""

    def __init__(self, question: Question, name: str) -> None:
        self._question = question
        self._name = name
        # Where the next token of each choice begins.
        self._offsets: dict[int, int] = {}
        self._id: str | None = None
        # The last chunks with choices, which wait for the usage.
        self._held: list[dict[str, Any]] = []
        self._usages: list[dict[str, Any]] = []

    def shape(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as it should be."""
        answer.pop("timings", None)
        answer["model"] = self._name
        for choice in answer.get("choices", ()):
            self._shape_choice(choice)
        return answer

    def shape_chunk(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what one of the engine's chunks becomes, the usage in each that has counted."""
        timings = chunk.get("timings")
        shaped = self.shape(chunk)
        # The engine answers each choice by itself.
        self._id = shaped["id"] = self._id or shaped.get("id")
        choices = shaped.get("choices")
        if not choices:
            return self._end(shaped)
        if choices[0].get("finish_reason"):
            self._held.append(shaped)
            # Of a chat it comes by itself, after the last chunk of each choice.
            usage = shaped.pop("usage", None)
            return self._end({**shaped, "choices": [], "usage": usage}) if usage else []
        if timings and self._question.body.get("n", 1) == 1:
            shaped["usage"] = _usage_of(timings)
        return [shaped]

    def _end(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what was held, once the usage of the last choice is known."""
        self._usages.append(chunk["usage"])
        if len(self._usages) < self._question.body.get("n", 1):
            return []
        said = sum(usage["completion_tokens"] for usage in self._usages)
        asked = self._usages[0]["prompt_tokens"]
        usage = {**self._usages[0], "completion_tokens": said, "total_tokens": asked + said}
        self._held[-1]["usage"] = chunk["usage"] = usage
        return [*self._held, chunk] if self._question.wants_usage else self._held

    def _shape_choice(self, choice: dict[str, Any]) -> None:
        found = (choice.get("logprobs") or {}).get("content")
        if found is None or self._question.alternatives is None:
            return
        count = self._question.alternatives
        tokens = [_token(token, count) for token in found]
        if self._question.task == CHAT:
            choice["logprobs"] = {"content": tokens}
        else:
            choice["logprobs"] = self._legacy(choice.get("index", 0), tokens)

    def _legacy(self, index: int, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        """Return probabilities in the form that completions have."""
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in token["top_logprobs"]}
                for token in tokens
            ],
            "text_offset": offsets,
        }


def _token(token: dict[str, Any], count: int) -> dict[str, Any]:
    shaped = _probability(token)
    shaped["top_logprobs"] = [_probability(one) for one in token["top_logprobs"][:count]]
    return shaped


def _probability(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "token": token["token"],
        # What cannot be is minus infinity, which is no JSON.
        "logprob": max(token["logprob"], _LEAST_LOGPROB),
        "bytes": token.get("bytes"),
    }


def _usage_of(timings: dict[str, Any]) -> dict[str, Any]:
    cached, said = timings.get("cache_n", 0), timings.get("predicted_n", 0)
    asked = cached + timings.get("prompt_n", 0)
    return {
        "completion_tokens": said,
        "prompt_tokens": asked,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
