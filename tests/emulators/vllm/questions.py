"""What vLLM's server is asked, emulated or real, and how answers of both are compared."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_KEY = "emulated"
_ROOT = Path(__file__).parents[3]
_SECONDS = 120
# What is in both the same where it is a text; of others it is enough that they are there.
_KEPT = {"object", "finish_reason", "type", "role", "model", "message", "param"}


class Server:
    """One server of vLLM.

    Args:
        path: Its socket.
        key: What it lets in.
        model: What it calls its model.
    """

    def __init__(self, path: str, key: str, model: str) -> None:
        self._path = path
        self._key = key
        self._model = model

    def ask(self, method: str, path: str, body: bytes = b"", key: str | None = None) -> Any:
        """Ask it; return the status, the type of the answer, and the answer."""
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(_SECONDS)
            connected.connect(self._path)
            connection = http.client.HTTPConnection("vllm")
            connection.sock = connected
            headers = {"authorization": f"Bearer {self._key if key is None else key}"}
            connection.request(method, path, body, headers | {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type", ""), answer.read()

    def post(self, path: str, question: dict[str, Any]) -> Any:
        """Ask its model."""
        return self.ask("POST", path, json.dumps({"model": self._model, **question}).encode())

    def json(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """Return an answer of its model's."""
        status, _, body = self.post(path, question)
        assert status == http.client.OK, body
        found: dict[str, Any] = json.loads(body)
        return found

    def metric(self, name: str, label: str = "") -> float:
        """Return the sum of what its page has of a metric."""
        page = self.ask("GET", "/metrics")[2].decode()
        lines = re.findall(rf"^vllm:{name}\{{(.*)\}} (\S+)$", page, re.MULTILINE)
        return sum(float(value) for labels, value in lines if label in labels)


@contextlib.contextmanager
def emulated(folder: Path, arguments: Sequence[str], model: str) -> Iterator[Server]:
    """Run the emulator with the arguments of `vllm serve` that follow `serve`."""
    path = folder / "emulated.sock"
    path.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.emulators.vllm.serve",
            "serve",
            *arguments,
            "--uds",
            str(path),
        ],
        cwd=_ROOT,
        env={"PATH": os.defpath, "VLLM_API_KEY": _KEY},
    )
    try:
        deadline = time.monotonic() + _SECONDS
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Server(str(path), _KEY, model)
    finally:
        process.kill()
        process.wait()


_HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
_USAGE = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
_TOOLS = {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]}
_PARTS = [{"type": "text", "text": "Hi"}]
# Whole answers of so many tokens, each of them a letter.
_LETTERS = {"ignore_eos": True, "logit_bias": {"70": 100}}
_ONE: dict[str, Any] = {"max_tokens": 1, **_LETTERS}
_THREE: dict[str, Any] = {"max_tokens": 3, **_LETTERS}
_CHATTING: list[dict[str, Any]] = [
    _THREE,
    _THREE | {"logprobs": True, "top_logprobs": 2},
    _THREE | {"logprobs": True},
    _THREE | {"n": 2},
    _THREE | {"stream": True},
    _THREE | _USAGE,
    _THREE | _USAGE | {"logprobs": True, "top_logprobs": 1},
    _THREE | {"n": 2, "stream": True, "stream_options": {"include_usage": True}},
    _ONE | {"temperature": 2, "top_p": 0.5, "top_k": 3, "seed": -1},
    _ONE | {"frequency_penalty": -2, "presence_penalty": 2, "logit_bias": {"5": 100}},
    _ONE | {"stop": [str(number) * 9 for number in range(16)]},
    _ONE | {"response_format": {"type": "text"}},
    _ONE | {"messages": [{"role": "user", "content": _PARTS}]},
    _ONE | {"messages": [{"role": "developer", "content": "x"}]},
    {"stream_options": {"include_usage": True}},
    {"top_logprobs": 2},
    {"top_logprobs": 30, "logprobs": True},
    {"n": 2, "temperature": 0},
    {"n": 20_000},
    {"max_tokens": 1_000},
    {"max_tokens": 0},
    {"top_p": 0},
    {"stop": ""},
    {"stop": ["a", ""]},
    {"logit_bias": {"99999": 1}},
    {"messages": []},
    {"messages": [{"role": "user", "content": "word " * 600}]},
    {"model": "another"},
    {"tool_choice": "auto"},
    {"tools": []},
    _ONE | _TOOLS,
    _ONE | _TOOLS | {"tool_choice": "none"},
]
_COMPLETING: list[dict[str, Any]] = [
    _THREE,
    _THREE | {"logprobs": 2},
    _THREE | {"logprobs": 0},
    _THREE | {"n": 2},
    _THREE | {"stream": True},
    _THREE | _USAGE,
    _THREE | _USAGE | {"logprobs": 1},
    {},
    {"logprobs": 30},
    {"prompt": ""},
]
# Where the model has 512 tokens, as that which chats.
_BEYOND: list[dict[str, Any]] = [
    {"prompt": "word " * 600},
    {"prompt": "word " * 600, "stream": True},
    {"prompt": "x" * 50_000},
    {"max_tokens": 1_000},
]
_EMBEDDING: list[dict[str, Any]] = [
    {"input": ["a"]},
    {"input": ["a", "cat"], "encoding_format": "float"},
    {"input": ["a"], "encoding_format": "base64"},
    {"input": ["cat " * 600]},
    {"input": ["x" * 50_000]},
    {"input": ["a"], "model": "another"},
]
_OF_TASK = {"llm/v1/chat": (CHAT, COMPLETIONS), "llm/v1/completions": (COMPLETIONS,)}


def asked(task: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a model of a task is asked: the path, and the body."""
    paths = _OF_TASK.get(task, (EMBEDDINGS,))
    if CHAT in paths:
        yield from ((CHAT, {**_HELLO, **question}) for question in _CHATTING)
    if COMPLETIONS in paths:
        questions = [*_COMPLETING, *(_BEYOND if CHAT in paths else ())]
        yield from ((COMPLETIONS, {"prompt": "Hi", **question}) for question in questions)
    if EMBEDDINGS in paths:
        yield from ((EMBEDDINGS, question) for question in _EMBEDDING)
    # Which there are follows from the task.
    yield (COMPLETIONS if EMBEDDINGS in paths else EMBEDDINGS), {"input": "a", "prompt": "a"}


def differences(real: Server, emulator: Server, task: str) -> list[str]:
    """Return where the answers of two servers have not the same form."""
    found = []
    for path, question in asked(task):
        one, other = (form(server.post(path, question)) for server in (real, emulator))
        if one != other:
            shown = json.dumps(question)[:300]
            found.append(f"{path} {shown}\n  {_apart(one, other)}")
    for method, path, key in (
        ("GET", "/health", ""),
        ("GET", "/v1/models", ""),
        ("GET", "/no", None),
    ):
        one, other = (server.ask(method, path, key=key)[:2] for server in (real, emulator))
        if one != other:
            found.append(f"{method} {path}: {one} and {other}")
    return found


def form(said: tuple[int, str, bytes]) -> Any:
    """Return the form of an answer: what is told of it, and not which words it has."""
    status, kind, body = said
    if kind.startswith("text/event-stream"):
        events = body.decode().split("\n\n")
        known = [
            _shape(json.loads(event[6:])) if event.startswith("data: {") else event
            for event in events
        ]
        return status, kind, [one for i, one in enumerate(known) if one not in known[:i]]
    return status, kind, _shape(json.loads(body))


def _shape(value: Any, key: str = "") -> Any:
    if key == "top_logprobs" and isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[:1]
    if isinstance(value, dict):
        if all(isinstance(one, float) for one in value.values()) and value:
            return "probabilities"
        return {name: _shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        shapes = [_shape(one, key) for one in value]
        return [one for i, one in enumerate(shapes) if one not in shapes[:i]]
    if isinstance(value, str):
        return re.sub(r"\d+", "#", value) if key in _KEPT else "text"
    if isinstance(value, bool) or value is None:
        return value
    return type(value).__name__


def _apart(one: Any, other: Any) -> str:
    """Return the first place in which two forms are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *other]:
            if one.get(key, "-") != other.get(key, "-"):
                return f"{key}: {_apart(one.get(key, '-'), other.get(key, '-'))}"
        return f"order: {list(one)} and {list(other)}"
    if (
        isinstance(one, (list, tuple))
        and isinstance(other, (list, tuple))
        and len(one) == len(other)
    ):
        for a, b in zip(one, other, strict=True):
            if a != b:
                return _apart(a, b)
    return f"{one} and {other}"
