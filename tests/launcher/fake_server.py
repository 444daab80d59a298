"""A model server with the standard library alone, which does what its model's file says.

Speaks the launcher's side of what `launcher/model_server/serve.py` does, and every fault beside it.
"""

import argparse
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SLEEPER = "import time; time.sleep(600)"
kept: list[object] = []
# What a question has broken.
faults: set[str] = set()
# Questions that are being answered.
inside: list[object] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "silent" in faults:
            time.sleep(600)
        self._answer(b"{}", 503 if "hanging" in faults else 200)

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        # As `model_server/last_asked.py` does, in its directory.
        Path(".asked").write_bytes(struct.pack("<dI", time.monotonic(), 1))
        if question.get("die"):
            os._exit(3)
        faults.update(question.get("faults", ()))
        inside.append(question)
        time.sleep(question.get("seconds", 0))
        inside.remove(question)
        code = question.get("run", "None")
        self._answer(json.dumps({"predictions": eval(code)}).encode())

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-modelplane-load", str(len(inside)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def link(descriptor: str) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except FileNotFoundError:
        return ""


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def tell(ready: int, document: dict[str, object]) -> None:
    os.write(ready, json.dumps(document).encode() + b"\n")
    os.close(ready)


def fork_sleeper(*, escaped: bool) -> int:
    command = [sys.executable, "-c", SLEEPER]
    return subprocess.Popen(command, start_new_session=escaped).pid


def leak(megabytes: int) -> None:
    for _ in range(megabytes):
        kept.append(b"x" * 1_000_000)
        time.sleep(0.001)
    time.sleep(600)


def flood() -> None:
    while True:
        say("no end of words " * 60)


def end_or_not(does: dict[str, Any], ready: int) -> None:
    """Do what keeps a server from ever being there."""
    say(does.get("print", "hello"))
    if "status" in does:
        sys.exit(does["status"])
    if "error" in does and not ("unless" in does and Path(does["unless"]).exists()):
        tell(ready, {"error": does["error"]})
        sys.exit(1)
    while "awaits" in does and not Path(does["awaits"]).exists():
        time.sleep(0.005)
    time.sleep(600 if does.get("hang") else does.get("slow", 0))


def misbehave(does: dict[str, Any]) -> None:
    """Do what a server should not do beside its work."""
    children = [fork_sleeper(escaped=False) for _ in range(does.get("children", 0))]
    children += [fork_sleeper(escaped=True) for _ in range(does.get("escaped", 0))]
    say("children", *children)
    if does.get("listens"):
        kept.append(other := socket.create_server(("127.0.0.1", 0)))
        say("listens", other.getsockname()[1])
    if "leak" in does:
        threading.Thread(target=leak, args=(does["leak"],), daemon=True).start()
    if does.get("flood"):
        threading.Thread(target=flood, daemon=True).start()
    if "lives" in does:
        threading.Timer(does["lives"], os._exit, (5,)).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--model", "--host", "--evaluation-seconds", "--concurrency"):
        parser.add_argument(flag)
    parser.add_argument("--calibration-seconds", type=float, default=0.0)
    parser.add_argument("--tls")
    parser.add_argument("--port", type=int)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args()
    does = json.loads((Path(given.model) / "behaviour.json").read_text())
    end_or_not(does, given.ready_fd)
    server = ThreadingHTTPServer((given.host, given.port), Handler)
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    # What is asked is answered before the end.
    server.daemon_threads = False
    stop = signal.SIG_IGN if does.get("stubborn") else lambda *_: end(server)
    signal.signal(signal.SIGTERM, stop)
    misbehave(does)
    say("measures for", given.calibration_seconds)
    rate = does.get("tokens_per_second", 0.0) if given.calibration_seconds else 0.0
    tell(given.ready_fd, {"port": does.get("port", server.server_port), "tokens_per_second": rate})
    server.serve_forever(poll_interval=0.02)
    server.server_close()


def end(server: ThreadingHTTPServer) -> None:
    threading.Thread(target=server.shutdown).start()


if __name__ == "__main__":
    main()
