"""What an engine says of itself: how busy it is, and what it has done since it started.

Engines say it on pages in Prometheus' text form; whoever asks whether this server lives is told it
(`server`). A page is read every few seconds by a thread of its own, since an engine that reads a
long prompt may say nothing for as long.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from typing import Any, Callable, Mapping, Sequence

_SECONDS = 3.0
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[^\n]*\})? (\S+)", re.MULTILINE)

# By the names of `EngineFigures`, as the launcher reports them.
Figures = Mapping[str, float]


class Watching:
    """Knows the newest figures.

    Attributes:
        newest: They; none: the engine has said nothing yet.
    """

    def __init__(self, read: Callable[[], Figures], seconds: float = _SECONDS) -> None:
        """Read them from now on, until the process ends.

        Args:
            read: Asks the engine.
            seconds: Pause between two times.
        """
        self.newest: Figures = {}
        self._read = read
        self._seconds = seconds
        threading.Thread(target=self._follow, name="figures", daemon=True).start()

    def _follow(self) -> None:
        while True:
            # One that does not answer is asked again; whether it lives is told otherwise.
            with contextlib.suppress(Exception):
                self.newest = self._read()
            time.sleep(self._seconds)


def samples(page: str) -> dict[str, list[float]]:
    """Return the values on a page, by metric; what is no number is left out."""
    found: dict[str, list[float]] = {}
    for name, text in _SAMPLE.findall(page):
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            found.setdefault(name, []).append(value)
    return found


def of_vllm(page: str) -> dict[str, float]:
    """Return the figures of vLLM's page.

    Names are those of 0.32.0 (vllm.v1.metrics.loggers), as in
    https://docs.vllm.ai/en/v0.32.0/usage/metrics/. There is one series for each engine process.
    """
    known = samples(page)

    def total(name: str) -> float:
        return sum(known.get("vllm:" + name, ()))

    usage = known.get("vllm:kv_cache_usage_perc", ())
    return {
        "requests_running": total("num_requests_running"),
        "requests_waiting": total("num_requests_waiting"),
        "kv_cache_usage": sum(usage) / max(1, len(usage)),
        "prompt_tokens": total("prompt_tokens_total"),
        "generation_tokens": total("generation_tokens_total"),
        "prefix_cache_queries": total("prefix_cache_queries_total"),
        "prefix_cache_hits": total("prefix_cache_hits_total"),
    }


def of_llama_cpp(page: str, slots: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of llama.cpp's pages `/metrics` and `/slots`.

    Names are those of its server in xllamacpp 2026.10.
    Prompts' tokens are counted without those that were kept, which are counted beside.
    """
    known = {name: values[0] for name, values in samples(page).items()}

    def value(name: str) -> float:
        return known.get("llamacpp:" + name, 0.0)

    kept = value("prompt_tokens_cached_total")
    prompts = value("prompt_tokens_total") + kept
    room = sum(int(slot["n_ctx"]) for slot in slots)
    used = sum(int(slot.get("n_prompt_tokens", 0)) for slot in slots if slot["is_processing"])
    return {
        "requests_running": value("requests_processing"),
        "requests_waiting": value("requests_deferred"),
        "kv_cache_usage": min(1.0, used / room) if room else 0.0,
        "prompt_tokens": prompts,
        "generation_tokens": value("tokens_predicted_total"),
        "prefix_cache_queries": prompts,
        "prefix_cache_hits": kept,
    }
