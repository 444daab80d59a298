"""What vLLM writes, without a model: numbers, one token each.

The bodies are as a real server of release 0.32.0 on processors has answered, with other words in
them; `tests.hosting.test_on_vllm` compares both.
"""

import argparse
import base64
import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .rules import Refusal, validate_sampling

# v1/core/kv_cache_utils.py: whole blocks are found again, and never a prompt's last token.
BLOCK = 16
LONGEST_TOKEN = 12
DIMENSIONS = 4
# How long each token takes, where a benchmark says it.
PAUSE = float(os.environ.get("EMULATED_TOKEN_SECONDS", "0"))
_NO_DETAILS = {"completion_tokens_details": None}
FINGERPRINT = "vllm-0.32.0-00000000"


class Engine:
    """What writes.

    Attributes:
        is_dead: Whether what writes is gone, as SIGUSR1 has it, while the server is still there.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.is_dead = False
        self.name = given.served_model_name[0]
        self.window = given.max_model_len
        self.pools = given.runner == "pooling"
        self.normalized = (given.pooler_config or {}).get("use_activation", True)
        self.calls_tools = given.enable_auto_tool_choice
        self.tells_cached = given.enable_prompt_tokens_details
        self.read: set[str] = set()
        self.running = 0
        self.counts = dict.fromkeys(("prompt", "generation", "queries", "hits"), 0)

    def check(self) -> None:
        """v1/engine/async_llm.py: what is asked, and what is on its way, gets this answer."""
        if self.is_dead:
            message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
            raise Refusal(message, "InternalServerError", 500)

    def page(self) -> str:
        """v1/metrics/loggers.py, as prometheus_client writes it."""
        labels = f'{{engine="0",model_name="{self.name}"}}'
        told = (
            ("num_requests_running", "gauge", self.running),
            ("num_requests_waiting", "gauge", 0),
            ("kv_cache_usage_perc", "gauge", 0.25 if self.running else 0),
            ("prefix_cache_queries", "counter", self.counts["queries"]),
            ("prefix_cache_hits", "counter", self.counts["hits"]),
            ("prompt_tokens", "counter", self.counts["prompt"]),
            ("generation_tokens", "counter", self.counts["generation"]),
        )
        lines = [
            "# HELP python_gc_objects_collected_total Objects",
            'python_info{version="3.12"} 1.0',
        ]
        for name, kind, value in told:
            # Counters end so on the page, and in their HELP and TYPE.
            full = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
            lines += [
                f"# HELP {full} Words.",
                f"# TYPE {full} {kind}",
                f"{full}{labels} {float(value)}",
            ]
            if kind == "counter":
                lines.append(f"vllm:{name}_created{labels} 1.7959957e+09")
        return "\n".join(lines) + "\n"

    def tokens_of(self, text: str) -> int:
        """renderers/params.py: what is longer than the context is refused, with the counts."""
        count = len(text.split())
        beginning = f"This model's maximum context length is {self.window} tokens. However, your "
        # As many characters as its longest token has, for each.
        most = LONGEST_TOKEN * self.window
        if len(text) > most:
            raise Refusal(
                f"{beginning}prompt contains {len(text)} characters (more than {most} "
                f"characters, which is the upper bound for {self.window} input tokens). Please "
                "reduce the length of the input prompt.",
                param="input_text",
                value=len(text),
            )
        if count > self.window:
            raise Refusal(
                f"{beginning}prompt contains at least {self.window + 1} input tokens, which "
                "exceeds this limit even without any output tokens. Please reduce the length of "
                "the input prompt.",
                param="input_tokens",
                value=self.window + 1,
            )
        return count

    def cached(self, text: str, count: int) -> int:
        """Return how many of a prompt's tokens were read before."""
        seen = text in self.read
        self.read.add(text)
        found = (count - 1) // BLOCK * BLOCK if seen else 0
        self.counts["queries"] += count
        self.counts["hits"] += found
        self.counts["prompt"] += count
        return found


def embeddings(engine: Engine, asked: dict[str, Any]) -> dict[str, Any]:
    """entrypoints/pooling/embed/serving.py"""
    texts = asked["input"]
    count = sum(engine.tokens_of(text) for text in texts)
    data = []
    for index, text in enumerate(texts):
        vector = [float(len(text)), 1.0, 0.0, 0.0]
        length = sum(one * one for one in vector) ** 0.5 if engine.normalized else 1.0
        value: Any = [one / length for one in vector]
        if asked.get("encoding_format") == "base64":
            value = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *value)).decode()
        data.append({"index": index, "object": "embedding", "embedding": value})
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    head = {"id": "embd-0", "object": "list", "created": 1, "model": engine.name}
    details = {"prompt_tokens_details": None, "completion_tokens_details": None}
    return {**head, "data": data, "usage": usage | details}


class Writing:
    """One answer."""

    def __init__(self, engine: Engine, asked: dict[str, Any], *, chat: bool) -> None:
        self.engine, self.asked, self.chat = engine, asked, chat
        said = json.dumps(asked["messages"]) if chat else asked["prompt"]
        self.prompt = engine.tokens_of(said)
        room = engine.window - self.prompt
        # protocol.py: a chat's answer may be as long as there is room, a completion has 16 tokens.
        validate_sampling(engine, asked, room)
        self.tokens = min(asked.get("max_tokens", room if chat else 16), room)
        cached = engine.cached(said, self.prompt)
        # In streams only what is known is told.
        self.details = {"cached_tokens": cached} if engine.tells_cached else None
        self.created = {"created_cache_tokens": 0 if chat else None}
        engine.counts["generation"] += self.tokens * asked.get("n", 1)
        self.head = {
            "id": "chatcmpl-0" if chat else "cmpl-0",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": engine.name,
        }

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with a chunk for it."""
        return bool((self.asked.get("stream_options") or {}).get("include_usage"))

    def whole(self) -> dict[str, Any]:
        """Return it at once."""
        for _ in range(self.tokens if PAUSE else 0):
            time.sleep(PAUSE)
            self.engine.check()
        choices = []
        for index in range(self.asked.get("n", 1)):
            text = "".join(f" {number}" for number in range(self.tokens))
            said: dict[str, Any] = {"text": text}
            if self.chat:
                nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call"))
                message = {"role": "assistant", "content": text, **nothing, "reasoning": None}
                said = {"message": message}
            ending = {"finish_reason": "length", "stop_reason": None, "token_ids": None}
            if not self.chat:
                ending |= {"prompt_logprobs": None, "prompt_token_ids": None}
            choice = {"index": index, **said, "logprobs": self._logprobs(range(self.tokens))}
            choices.append({**choice, **ending, "routed_experts": None})
        answer = {**self.head, "choices": choices, "service_tier": None}
        usage = self._usage(self.tokens * len(choices))
        if self.details:
            known = {**self.details, **self.created, "multimodal_tokens": None}
            usage |= {"prompt_tokens_details": known}
        else:
            usage |= {"prompt_tokens_details": None}
        answer |= {"system_fingerprint": FINGERPRINT, "usage": usage | _NO_DETAILS}
        if self.chat:
            answer |= dict.fromkeys(("prompt_logprobs", "prompt_token_ids", "prompt_text"))
        return {**answer, "kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield its chunks."""
        count = self.asked.get("n", 1)
        if self.chat:
            self.head["object"] = "chat.completion.chunk"
            for index in range(count):
                delta = {"delta": {"role": "assistant", "content": ""}, "logprobs": None}
                first = self._chunk({"index": index, **delta, "finish_reason": None}, 0)
                yield {**first, "prompt_token_ids": None, "prompt_text": None}
        for index in range(count):
            for number in range(self.tokens):
                time.sleep(PAUSE)
                chunk = self._chunk(self._part(index, number), number + 1)
                if not self.tells_usage and number == self.tokens - 1:
                    chunk["system_fingerprint"] = FINGERPRINT
                yield chunk
        if self.tells_usage:
            known = {**(self.details or {}), **(self.created if self.chat else {})}
            details = {"prompt_tokens_details": known} if self.details else {}
            usage = {**self._usage(self.tokens * count), **details}
            last = {**self.head, "choices": [], "usage": usage}
            yield {**last, "system_fingerprint": FINGERPRINT}

    def _part(self, index: int, number: int) -> dict[str, Any]:
        """Return one token of a choice."""
        text, is_last = f" {number}", number == self.tokens - 1
        said: dict[str, Any] = {"delta": {"content": text}} if self.chat else {"text": text}
        choice = {"index": index, **said, "logprobs": self._logprobs([number])}
        choice |= {"finish_reason": "length" if is_last else None}
        if self.chat:
            return choice | ({"stop_reason": None} if is_last else {}) | {"token_ids": None}
        return choice | {"stop_reason": None, "prompt_token_ids": None, "token_ids": None}

    def _chunk(self, choice: dict[str, Any], said: int) -> dict[str, Any]:
        chunk = {**self.head, "choices": [choice]}
        options = self.asked.get("stream_options") or {}
        if options.get("include_usage") and options.get("continuous_usage_stats"):
            chunk["usage"] = self._usage(said) | (_NO_DETAILS if self.chat else {})
        return chunk

    def _usage(self, said: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + said,
            "completion_tokens": said,
        }

    def _logprobs(self, numbers: Sequence[int]) -> dict[str, Any] | None:
        wanted = self.asked.get("logprobs")
        if wanted is None or wanted is False:
            return None
        if not self.chat:
            tokens = [f" {number}" for number in numbers]
            top = [{token: -0.5, "x": -9999.0} for token in tokens]
            known = {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}
            return {"text_offset": [2 * n for n in numbers], **known, "top_logprobs": top}
        content = []
        for number in numbers:
            one: dict[str, Any] = {
                "token": f" {number}",
                "logprob": -0.5,
                "bytes": list(f" {number}".encode()),
            }
            top = [one] * self.asked.get("top_logprobs", 0)
            content.append({**one, "top_logprobs": top})
        return {"content": content}
