"""A server that says what vLLM 0.32.0 said, for its command line: the same options, or it ends.

What it answers was recorded from the real one (`vllm_wire.json`): SmolLM2, `--enforce-eager`, on a
processor. It takes what the real one takes (https://docs.vllm.ai/en/latest/cli/serve/).
"""

import argparse
import http.server
import json
import os
import socket
import socketserver
import sys
from pathlib import Path
from typing import Any

WIRE = json.loads(Path(__file__).with_name("vllm_wire.json").read_text())
DTYPES = ("auto", "bfloat16", "float", "float16", "float32", "half")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.say("metrics" if self.path == "/metrics" else "health")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = os.environ["VLLM_API_KEY"]  # noqa: TID251 - it is not of modelplane
        if self.headers["authorization"] != "Bearer " + key:
            self.say("models_noauth")
        else:
            self.say(self.choose(body))

    def choose(self, body: Any) -> str:
        if "top_logprobs" in body and not body.get("logprobs"):
            return "top_without"
        if "tools" in body:
            return "tools"
        if len(json.dumps(body)) > 4000:
            return "overflow"
        if body.get("stream"):
            return "stream"
        return "completion" if self.path == "/v1/completions" else "chat_logprobs"

    def say(self, name: str) -> None:
        body = WIRE[name]["body"].encode()
        self.send_response(WIRE[name]["status"])
        self.send_header("content-length", str(len(body)))
        if WIRE[name]["type"]:
            self.send_header("content-type", WIRE[name]["type"])
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "here"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = super().get_request()
        return connection, ("here", 0)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("model")
    for option in ("--tokenizer", "--served-model-name", "--uds"):
        parser.add_argument(option, required=True)
    for option in ("--max-num-seqs", "--max-model-len", "--tensor-parallel-size"):
        parser.add_argument(option, type=int)
    parser.add_argument("--dtype", choices=DTYPES)
    parser.add_argument("--runner", choices=("auto", "draft", "generate", "pooling"))
    for option in ("enforce-eager", "enable-prompt-tokens-details", "disable-uvicorn-access-log"):
        parser.add_argument(f"--{option}", action="store_true")
    options = parser.parse_args(sys.argv[sys.argv.index("serve") + 1 :])
    if not Path(options.model, "config.json").is_file():
        sys.exit(f"{options.model} is no model")
    Server(options.uds, Handler).serve_forever()


if __name__ == "__main__":
    main()
