"""vLLM as a child: its command line, and its answers as they were recorded."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelplane.launcher.model_server.vllm_process import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Vllm,
    VllmFailed,
    VllmOptions,
    command,
    plain,
    refusal,
    variables,
)

GIB = 1 << 30
FAKE = Path(__file__).with_name("fake_vllm.py")
CHATTING = VllmOptions("weights", "tokenizer", "smol", CHAT)


def option(told: list[str], name: str) -> str:
    return told[told.index(name) + 1] if name in told else ""


def test_on_a_processor_it_shares_what_is_there() -> None:
    told = command(CHATTING._replace(concurrency=8), "/a/socket")
    assert told[:4] == ["-m", "vllm.entrypoints.cli.main", "serve", "weights"]
    assert option(told, "--uds") == "/a/socket"
    assert option(told, "--max-num-seqs") == "8"
    assert option(told, "--dtype") == "bfloat16"
    assert "--enforce-eager" in told
    assert not {"--tensor-parallel-size", "--max-model-len", "--runner"} & set(told)
    found = variables(CHATTING._replace(memory=16 * GIB, threads=3), "t")
    assert (found["VLLM_CPU_KVCACHE_SPACE"], found["OMP_NUM_THREADS"]) == ("4", "3")
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert (found["VLLM_API_KEY"], found["HF_HUB_OFFLINE"]) == ("t", "1")


@pytest.mark.parametrize(
    ("kind", "dtype"), [("", "auto"), ("H100", "auto"), ("Tesla T4", "half"), ("v100", "half")]
)
def test_on_accelerators_it_has_them_all(kind: str, dtype: str) -> None:
    four = CHATTING._replace(gpus=4, gpu_type=kind, context_tokens=8192, task=EMBEDDINGS)
    told = command(four, "s")
    assert option(told, "--tensor-parallel-size") == "4"
    assert option(told, "--dtype") == dtype
    assert option(told, "--max-model-len") == "8192"
    assert option(told, "--runner") == "pooling"
    assert "--enforce-eager" not in told
    assert "VLLM_CPU_KVCACHE_SPACE" not in variables(four, "t")


@pytest.fixture
def python(tmp_path: Path) -> str:
    """Give a Python whose vLLM is the one that was recorded."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def vllm(tmp_path: Path, python: str) -> Iterator[Vllm]:
    (tmp_path / "config.json").write_text("{}")
    started = Vllm(CHATTING._replace(weights=str(tmp_path)), str(tmp_path), python)
    try:
        started.wait_ready(60)
        yield started
    finally:
        started.stop()


def ask(vllm: Vllm, task: str, **body: Any) -> tuple[int, Any]:
    with vllm.ask(task, json.dumps({"model": "smol", **body}).encode()) as answer:
        return answer.status, json.load(answer)


def test_it_is_asked_with_its_token_and_answers_in_the_plain_form(vllm: Vllm) -> None:
    status, said = ask(vllm, CHAT, messages=[], logprobs=True, top_logprobs=2)
    assert status == 200
    answer: dict[str, Any] = plain(said)
    assert sorted(answer) == ["choices", "created", "id", "model", "object", "usage"]
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello there"}
    assert sorted(choice) == ["finish_reason", "index", "logprobs", "message"]
    first = choice["logprobs"]["content"][0]
    assert sorted(first) == ["bytes", "logprob", "token", "top_logprobs"]
    assert [one["token"] for one in first["top_logprobs"]] == ["Hello", "I"]
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_probabilities_of_completions_have_the_old_form_already(vllm: Vllm) -> None:
    _, said = ask(vllm, COMPLETIONS, prompt="The capital of France is", logprobs=2)
    answer: dict[str, Any] = plain(said)
    [choice] = answer["choices"]
    assert choice["logprobs"]["tokens"] == [" Paris", ".", "\n"]
    assert choice["logprobs"]["text_offset"] == [0, 6, 7]


def test_a_stream_comes_as_it_is(vllm: Vllm) -> None:
    with vllm.ask(CHAT, b'{"model": "smol", "messages": [], "stream": true}') as answer:
        assert (answer.getheader("content-type") or "").startswith("text/event-stream")
        lines = [line for line in answer.read().split(b"\n\n") if line]
    assert lines[-1] == b"data: [DONE]"
    chunk: dict[str, Any] = plain(json.loads(lines[1].removeprefix(b"data: ")))
    assert chunk["choices"][0]["delta"] == {"content": "Hello"}
    assert chunk["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"top_logprobs": 2}, "`logprobs` must be set to true"),
        ({"tools": [{}]}, "--tool-call-parser"),
        ({"prompt": "word " * 1000}, "maximum context length is 2048 tokens"),
    ],
)
def test_what_it_refuses_is_said_in_its_words(vllm: Vllm, body: Any, told: str) -> None:
    status, said = ask(vllm, CHAT, **body)
    assert status == 400
    assert told in refusal(status, said)
    assert "parameter=input_tokens" not in refusal(status, said)
    assert refusal(401, {"error": "Unauthorized"}).endswith("(status 401).")


def test_it_tells_how_busy_it_is(vllm: Vllm) -> None:
    assert "vllm:num_requests_running" in vllm.metrics()
    assert vllm.is_healthy()


def test_one_that_ends_at_once_is_not_waited_for(tmp_path: Path, python: str) -> None:
    started = Vllm(CHATTING._replace(weights=str(tmp_path / "none")), str(tmp_path), python)
    with pytest.raises(VllmFailed, match="has ended with status"):
        started.wait_ready(60)
