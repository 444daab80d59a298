"""A hub of models on this machine, as far as `huggingface_hub` asks one.

https://huggingface.co/docs/hub/api ; its answers carry what that client checks, the commit and a
tag of each file.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)")
_MODEL = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)(?P<rest>/.*)?")


Answer: TypeAlias = tuple[int, bytes, str]
_NOT_THERE: Answer = (404, b"{}", "EntryNotFound")


@contextmanager
def running_hub(models: Mapping[str, Path]) -> Iterator[str]:
    """Run a hub that has folders as models, by name; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body, code = _answer(models, unquote(urlsplit(self.path).path))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("x-repo-commit", COMMIT)
            self.send_header("etag", f'"{hashlib.sha256(body).hexdigest()}"')
            if code:
                self.send_header("x-error-code", code)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - as it is called

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(models: Mapping[str, Path], path: str) -> Answer:
    if found := _FILE.fullmatch(path):
        file = models.get(found["name"], Path("/nowhere")) / found["path"]
        return (200, file.read_bytes(), "") if file.is_file() else _NOT_THERE
    found = _MODEL.fullmatch(path)
    if not found or found["name"] not in models:
        return 404, b"{}", "RepoNotFound"
    if (found["rest"] or "").startswith("/tree"):
        return _NOT_THERE
    return 200, _described(found["name"], models[found["name"]]), ""


def _described(name: str, folder: Path) -> bytes:
    files = [{"rfilename": str(one.relative_to(folder))} for one in folder.rglob("*")]
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    tag = "text-generation" if architecture.endswith("CausalLM") else "feature-extraction"
    described = {"id": name, "modelId": name, "sha": COMMIT, "siblings": files, "tags": []}
    described |= {"pipeline_tag": tag, "library_name": "transformers"}
    return json.dumps({**described, "private": False, "gated": False}).encode()
