"""vLLM's own server, as a child of this process, asked over a socket that nobody else reaches.

Command line and variables: https://docs.vllm.ai/en/latest/cli/serve/ and
https://docs.vllm.ai/en/latest/configuration/env_vars/, as of vLLM 0.32. It takes a folder of
transformers as it is.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
PATHS = {
    CHAT: "/v1/chat/completions",
    COMPLETIONS: "/v1/completions",
    EMBEDDINGS: "/v1/embeddings",
}
# Where its answers are not those of llama.cpp, both asked in OpenAI's form: what the caller gets is
# the same. By what differs: vLLM, then llama.cpp. Seen with vLLM 0.32.0 (CPU), whose answers are
# kept with the tests, and xllamacpp 2026.10.
DIFFERENCES = {
    "logprobs of chat": ("content[].{token,logprob,bytes,top_logprobs}", "the same, and an id"),
    "logprobs of completions": ("tokens, token_logprobs, …", "content[], as for chats"),
    "top_logprobs without logprobs": ("400 BadRequestError", "ignored: refused before it is asked"),
    "cached tokens in usage": ("--enable-prompt-tokens-details", "always"),
    "usage in each chunk": ("stream_options.continuous_usage_stats", "made of its timings"),
    "tools": ("400 without --tool-call-parser", "only where the template has them"),
    "prompt too long": ("400 BadRequestError, param input_tokens", "exceed_context_size_error"),
    "max_tokens too many": ("400 BadRequestError, param max_tokens", "the answer ends earlier"),
    "fields beside OpenAI's": ("many, null as a rule", "timings"),
    "a request without token": ('401 {"error": "Unauthorized"}', "401, OpenAI's form"),
}
_OVERFLOW = ("input_tokens", "max_tokens")
# Accelerators without bfloat16 (compute capability below 8.0), by a word in their name.
_WITHOUT_BFLOAT16 = ("T4", "V100", "P100", "P40", "RTX 20", "TITAN")
_ADDED = frozenset(
    {
        "ec_transfer_params",
        "kv_transfer_params",
        "metrics",
        "prompt_logprobs",
        "prompt_text",
        "prompt_token_ids",
        "routed_experts",
        "service_tier",
        "stop_reason",
        "system_fingerprint",
        "token_ids",
    }
)
_MESSAGE_ADDED = frozenset({"annotations", "audio", "function_call", "reasoning", "refusal"})
_HEALTH_SECONDS, _STOP_SECONDS = 0.2, 10.0
_GIB = 1 << 30
# Of its memory on a CPU, for the cache of keys and values; the rest is for weights and the process.
_CACHE_SHARE = 4


class VllmFailed(Exception):
    """It cannot be started; the text says why, for the model's owner."""


class VllmOptions(NamedTuple):
    """How a model is served.

    Attributes:
        weights: Its folder.
        tokenizer: Folder of its tokenizer.
        name: What answers call it.
        task: What it does.
        concurrency: Requests at a time.
        context_tokens: Tokens of a request and its answer; 0: as many as the model knows.
        gpus: Accelerators, over which each layer is split; 0: the processor.
        gpu_type: A word in their name; empty: not known.
        threads: Of the computation, without accelerators.
        memory: Bytes that it may use, without accelerators.
    """

    weights: str
    tokenizer: str
    name: str
    task: str
    concurrency: int = 4
    context_tokens: int = 0
    gpus: int = 0
    gpu_type: str = ""
    threads: int = 1
    memory: int = 0


def command(options: VllmOptions, path: str) -> list[str]:
    """Return the arguments for the Python that has vLLM.

    Args:
        options: How the model is served.
        path: Of the socket that it listens on.
    """
    told = ["-m", "vllm.entrypoints.cli.main", "serve", options.weights]
    told += ["--tokenizer", options.tokenizer, "--served-model-name", options.name]
    told += ["--uds", path, "--max-num-seqs", str(options.concurrency)]
    told += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    told += ["--dtype", _dtype(options)]
    if options.context_tokens:
        told += ["--max-model-len", str(options.context_tokens)]
    if options.task == EMBEDDINGS:
        told += ["--runner", "pooling"]
    if options.gpus > 1:
        told += ["--tensor-parallel-size", str(options.gpus)]
    if not options.gpus:
        # Compiling would take two minutes, and win little on a processor.
        told.append("--enforce-eager")
    return told


def variables(options: VllmOptions, token: str) -> dict[str, str]:
    """Return the environment variables for it: offline, and with a token of its own."""
    told = {
        "VLLM_API_KEY": token,
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    if not options.gpus:
        told["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, options.memory // _CACHE_SHARE // _GIB))
        # Otherwise each replica would take the same processors for its own.
        told["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        told["OMP_NUM_THREADS"] = str(options.threads)
    return told


class Vllm:
    """A server that runs until it is stopped."""

    def __init__(self, options: VllmOptions, folder: str, python: str = sys.executable) -> None:
        """Start it.

        Args:
            options: How the model is served.
            folder: For its socket, where no other user can go.
            python: That has vLLM.
        """
        self._path = os.path.join(folder, "vllm.sock")
        self._token = secrets.token_hex(32)
        self._process = subprocess.Popen(  # noqa: S603 - a program of the operator's
            [python, *command(options, self._path)],
            env={**os.environ, **variables(options, self._token)},
            stdin=subprocess.DEVNULL,
        )

    def wait_ready(self, seconds: float) -> None:
        """Return once it answers.

        Raises:
            VllmFailed: It has ended, or takes too long.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = self._process.poll()
            if status is not None:
                raise VllmFailed("vLLM has ended with status %d; see the service log." % status)
            if self.is_healthy():
                return
            time.sleep(_HEALTH_SECONDS)
        raise VllmFailed("vLLM was not ready within %d seconds." % seconds)

    def is_healthy(self) -> bool:
        """Return whether it says that it works (`/health`)."""
        try:
            with self._request("GET", "/health", None) as answer:
                return answer.status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def metrics(self) -> str:
        """Return its page for Prometheus, as `vllm:num_requests_running` (`/metrics`)."""
        with self._request("GET", "/metrics", None) as answer:
            return answer.read().decode()

    def ask(self, task: str, body: bytes) -> http.client.HTTPResponse:
        """Return its answer to a body in OpenAI's form, which may be a stream of events.

        The answer is closed by whoever has asked.
        """
        return self._request("POST", PATHS[task], body)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _request(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        connection = _Connection(self._path)
        headers = {
            "authorization": "Bearer " + self._token,
            "connection": "close",
            "content-type": "application/json",
        }
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise


def plain(answer: dict[str, object]) -> dict[str, object]:
    """Return an answer, or a chunk of one, without what only vLLM has in it."""
    kept = {key: value for key, value in answer.items() if key not in _ADDED}
    choices = kept.get("choices")
    if isinstance(choices, list):
        kept["choices"] = [_plain_choice(choice) for choice in choices]
    return kept


def refusal(status: int, said: object) -> str:
    """Return in words why it refuses a request, for who has asked."""
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return "The model cannot answer this (status %d)." % status
    message = str(error.get("message", ""))
    if error.get("param") in _OVERFLOW:
        # Without the name of the setting, which is not the caller's.
        message = message.partition(" (parameter=")[0].replace("max_model_len=", "")
    return "The model cannot answer this: %s" % message


def _plain_choice(choice: dict[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in choice.items() if key not in _ADDED}
    for part in ("message", "delta"):
        inner = kept.get(part)
        if isinstance(inner, dict):
            kept[part] = {
                key: value
                for key, value in inner.items()
                if key not in _MESSAGE_ADDED or value is not None
            }
    return kept


def _dtype(options: VllmOptions) -> str:
    if not options.gpus:
        return "bfloat16"
    if any(word in options.gpu_type.upper() for word in _WITHOUT_BFLOAT16):
        return "half"
    return "auto"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)
