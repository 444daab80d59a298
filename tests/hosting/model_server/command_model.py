"""What a model's own command runs: an API at `/invocations`, `command_model.py PORT`."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked, and where it runs."""

    def do_GET(self) -> None:
        self._say(404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        if asked.get("prompt") == "fail":
            self._say(422, json.dumps({"detail": "no such words"}).encode())
        elif not asked.get("stream"):
            told = {"asked": body.decode(), "path": self.path, "here": Path.cwd().name}
            self._say(200, json.dumps(told | {"PORT": os.environ["PORT"]}).encode())
        elif asked.get("prompt") == "whole":
            self._say(200, b"{}")
        else:
            self._stream(fails=asked.get("prompt") == "break")

    def _stream(self, *, fails: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b'data: {"part": 1}\r\n\r\ndata: {"part"')
        self.wfile.flush()
        if fails:
            self.wfile.write(b': 2}\r\n\r\ndata: {"error": {"message": "worn out"}}\r\n\r\n')
        else:
            self.wfile.write(b": 2}\r\n\r\ndata: [DONE]\r\n\r\n")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
