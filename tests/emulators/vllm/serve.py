"""vLLM's server without a model: `vllm serve`, as strict as the real one of release 0.32.0.

`rules` has what it refuses, `writing` what it says.
"""

import json
import os
import signal
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from typing import Any

from .rules import FIELDS, Refusal, check, parse, validate
from .writing import Engine, Writing, embeddings


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        if self.path == "/health":
            # entrypoints/serve/instrumentator/health.py
            self._say(503 if self.engine.is_dead else 200, b"", None)
        elif self.path == "/metrics":
            self._say(200, self.engine.page().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/v1/models" and self._is_let_in():
            card = {"id": self.engine.name, "object": "model", "owned_by": "vllm"}
            self._json({"object": "list", "data": [card | {"max_model_len": self.engine.window}]})
        else:
            self._json({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self._is_let_in():
            return
        # Which routes there are follows from what the model does.
        if self.path not in FIELDS or (self.path == "/v1/embeddings") != self.engine.pools:
            self._json({"detail": "Not Found"}, 404)
            return
        self.engine.running += 1
        try:
            self._answer(json.loads(body))
        except Refusal as refusal:
            self._json(refusal.body, refusal.code)
        finally:
            self.engine.running -= 1

    def _is_let_in(self) -> bool:
        # entrypoints/serve/middleware/authenticate.py
        if self.headers.get("authorization") == f"Bearer {os.environ['VLLM_API_KEY']}":
            return True
        self._json({"error": "Unauthorized"}, 401)
        return False

    def _answer(self, asked: dict[str, Any]) -> None:
        self.engine.check()
        if unknown := asked.keys() - FIELDS[self.path]:
            raise Refusal(f"fields that no caller should send: {sorted(unknown)}")
        if asked.get("model") != self.engine.name:
            message = f"The model `{asked.get('model')}` does not exist."
            if self.engine.pools:
                raise Refusal(message, "NotFoundError", 404)
            message += f" Valid aliases: {self.engine.name}."
            raise Refusal(message, "NotFoundError", 404, "model")
        if self.path == "/v1/embeddings":
            self._json(embeddings(self.engine, asked))
            return
        chat = self.path == "/v1/chat/completions"
        validate(self.engine, asked, chat=chat)
        writing = Writing(self.engine, asked, chat=chat)
        if not asked.get("stream"):
            self._json(writing.whole())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for chunk in writing.chunks():
                self.engine.check()
                self._event(json.dumps(chunk, separators=(",", ":")).encode())
        except Refusal as refusal:
            self._event(json.dumps(refusal.body, separators=(",", ":")).encode())
        self._event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def _json(self, value: object, status: int = 200) -> None:
        self._say(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def _say(self, status: int, body: bytes, kind: str | None) -> None:
        self.send_response(status)
        if kind:
            self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main() -> None:
    if sys.argv[1:2] != ["serve"]:
        sys.exit("vllm: error: argument subparser: invalid choice")
    given = parse(sys.argv[2:])
    check(given)
    Handler.engine = engine = Engine(given)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(engine, "is_dead", True))
    Server(given.uds, Handler).serve_forever()


if __name__ == "__main__":
    main()
