"""What it costs a replica to pass on a chunk that comes by itself, in process.

One chunk is under way at a time, so that the thread which passes it is woken for each: a process
beside is the engine, which writes one, and the worker, which reads it before the next.
"""

import http.client
import os
import socket
import time
from types import SimpleNamespace
from typing import Any

import orjson

from modelplane.launcher.model_server.child import Said
from modelplane.launcher.model_server.evaluation import Evaluation
from modelplane.launcher.model_server.http1 import Connection
from modelplane.launcher.model_server.server import Server
from modelplane.launcher.model_server.vllm import Answering

_CHUNKS = 3_000
_READ_BYTES = 1 << 16
_SECONDS = 60.0
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"data: [DONE]\n\n"
_CHOICE = {"index": 0, "delta": {"content": " 17"}, "logprobs": None, "finish_reason": None}
_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "x",
    "choices": [_CHOICE],
    "usage": {"prompt_tokens": 10, "total_tokens": 12, "completion_tokens": 2},
}


def passing_microseconds() -> float:
    """Return the CPU of a chunk of vLLM's, from its socket to the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if (pid := os.fork()) == 0:
            ours.close()
            _play(theirs, listening.getsockname())
        theirs.close()
        engine = http.client.HTTPConnection("engine", timeout=_SECONDS)
        ours.settimeout(_SECONDS)
        engine.sock = ours
        engine.request("POST", "/", "{}")
        nobody: Any = None
        said = Said(nobody, engine, engine.getresponse())
        accepted, _ = listening.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    spent = _pass_on(said, Connection(accepted))
    accepted.close()
    os.waitpid(pid, 0)
    return spent / _CHUNKS * 1e6


def _pass_on(said: Said, connection: Connection) -> float:
    """Return the CPU seconds that a whole stream takes."""
    child: Any = SimpleNamespace(ask=lambda *_: said)
    question: Any = SimpleNamespace(
        body={}, task="llm/v1/chat", stream=True, wants_usage=False, alternatives=None
    )
    options: Any = SimpleNamespace(name="x", evaluation_seconds=_SECONDS)
    evaluation = Evaluation(connection, time.monotonic() + _SECONDS, b"")
    events = Answering(child, question, options).events()
    server: Any = None
    began = time.thread_time()
    Server._stream(server, connection, evaluation, events)  # noqa: SLF001 - what is measured
    return time.thread_time() - began


def _play(engine: socket.socket, worker: tuple[str, int]) -> None:
    """Be the engine and the worker, and end the process."""
    engine.recv(_READ_BYTES)
    engine.sendall(_HEAD)
    with socket.create_connection(worker) as reading:
        event = b"data: " + orjson.dumps(_CHUNK) + b"\n\n"
        for _ in range(_CHUNKS):
            engine.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            reading.recv(_READ_BYTES)
        engine.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(_LAST), _LAST))
        while reading.recv(_READ_BYTES):
            pass
    os._exit(0)
