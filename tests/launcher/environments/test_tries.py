"""How often an index is asked that fails: again where the network is at fault, and only there."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from modelplane.launcher.environments.cache import Environments, Options
from modelplane.launcher.environments.failures import EnvironmentFailed
from tests.launcher.environments.packages import write_model, write_wheel

WHEEL = "mlflow-2.0-py3-none-any.whl"


@dataclass
class Index:
    """A package index with one package.

    Attributes:
        wheel: The package.
        failures: With which status it refuses the next requests.
        asked: How often each path was asked for.
    """

    wheel: bytes
    failures: list[int]
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def answer(self, path: str) -> tuple[int, bytes, str]:
        """Return status, body and content type."""
        self.asked[path] += 1
        if self.failures:
            return self.failures.pop(0), b"", "text/plain"
        if path.endswith(".whl"):
            return 200, self.wheel, "application/octet-stream"
        return 200, f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), "text/html"


@contextmanager
def running(index: Index) -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, kind = index.answer(self.path)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - likewise

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index.url = f"http://127.0.0.1:{server.server_port}/simple/"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("failures", "tries", "reason"),
    [
        ([503] * 9, 3, "The package index cannot be reached"),
        ([404] * 9, 1, "There is no package named mlflow"),
        ([403] * 9, 1, "refuses the operator's credentials"),
        ([503, 502], 3, ""),
    ],
)
async def test_an_index_is_asked_three_times_at_most(
    tmp_path: Path, failures: list[int], tries: int, reason: str
) -> None:
    wheel = write_wheel(tmp_path, "mlflow", "2.0").read_bytes()
    model = write_model(tmp_path / "model", {"requirements.txt": "mlflow==2.0"})
    with running(Index(wheel, failures)) as index:
        environ = {"UV_DEFAULT_INDEX": index.url, "PIP_CONFIG_FILE": "/dev/null"}
        environments = Environments(tmp_path / "environments", Options(environ))
        if reason:
            with pytest.raises(EnvironmentFailed, match=reason):
                await environments.hold(model, print)
        else:
            assert (await environments.hold(model, print)).python.exists()
        assert index.asked["/simple/mlflow/"] == tries
