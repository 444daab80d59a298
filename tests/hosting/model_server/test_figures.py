"""What engines say of themselves, as their pages have it."""

import threading
import time
from typing import Any

from modelplane.launcher.model_server.figures import Watching, of_llama_cpp, of_vllm

# As vLLM 0.32.0 writes it (vllm/v1/metrics/loggers.py), with two engine processes; shortened.
VLLM = """\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 12345.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="ml.llm.chat"} 3.0
vllm:num_requests_running{engine="1",model_name="ml.llm.chat"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="ml.llm.chat"} 2.0
vllm:num_requests_waiting{engine="1",model_name="ml.llm.chat"} 0.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="ml.llm.chat",reason="capacity"} 2.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="ml.llm.chat"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="ml.llm.chat"} 0.25
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="ml.llm.chat"} 1000.0
vllm:prefix_cache_queries_total{engine="1",model_name="ml.llm.chat"} 24.0
# TYPE vllm:prefix_cache_queries_created gauge
vllm:prefix_cache_queries_created{engine="0",model_name="ml.llm.chat"} 1.7959957e+09
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="ml.llm.chat"} 640.0
vllm:prefix_cache_hits_total{engine="1",model_name="ml.llm.chat"} 0.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="ml.llm.chat"} 1.0e+03
vllm:prompt_tokens_total{engine="1",model_name="ml.llm.chat"} 24.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="ml.llm.chat"} 77.0
vllm:generation_tokens_total{engine="1",model_name="ml.llm.chat"} NaN
# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_bucket{engine="0",le="+Inf",model_name="ml.llm.chat"} 9.0
"""
# As xllamacpp 2026.10.11549 has answered; shortened.
LLAMA_CPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 33
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 31
# TYPE llamacpp:prompt_seconds_total counter
llamacpp:prompt_seconds_total 8.16947
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 10
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 2
"""
SLOTS: list[dict[str, Any]] = [
    {"id": 0, "n_ctx": 512, "is_processing": False},
    {"id": 1, "n_ctx": 512, "is_processing": False, "n_prompt_tokens": 400},
    {"id": 2, "n_ctx": 512, "is_processing": True, "n_prompt_tokens": 128},
    {"id": 3, "n_ctx": 512, "is_processing": True, "n_prompt_tokens": 256},
]


def test_vllms_page() -> None:
    assert of_vllm(VLLM) == {
        "requests_running": 4,
        "requests_waiting": 2,
        "kv_cache_usage": 0.375,
        "prompt_tokens": 1024,
        "generation_tokens": 77,
        "prefix_cache_queries": 1024,
        "prefix_cache_hits": 640,
    }


def test_llama_cpps_pages() -> None:
    assert of_llama_cpp(LLAMA_CPP, SLOTS) == {
        "requests_running": 1,
        "requests_waiting": 2,
        # What it keeps for later can be used for others at once.
        "kv_cache_usage": 0.1875,
        "prompt_tokens": 64,
        "generation_tokens": 10,
        "prefix_cache_queries": 64,
        "prefix_cache_hits": 31,
    }


def test_an_engine_that_says_nothing_for_a_while_is_asked_again() -> None:
    said = [{"prompt_tokens": 1.0}, None, {"prompt_tokens": 2.0}]

    def read() -> dict[str, float]:
        if not said:
            # It would be asked until the process ends.
            threading.Event().wait()
        if (found := said.pop(0)) is None:
            raise OSError
        return found

    watching = Watching(read, seconds=0.001)
    deadline = time.monotonic() + 60
    while watching.newest != {"prompt_tokens": 2.0}:
        assert time.monotonic() < deadline
        time.sleep(0.001)
