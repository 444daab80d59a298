"""A model server that runs, as a launcher starts it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelplane.launcher import model_server
from tests.hosting.models.cache import Saved

SERVE = Path(model_server.__file__).with_name("serve.py")
TOKEN = "the-token-of-this-replica"


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value: dict[str, object] = json.loads(self.body)
        return value


@dataclass
class Replica:
    """One that listens, or says why not."""

    process: subprocess.Popen[bytes]
    ready: dict[str, object]
    log: Path
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "authorization": f"Bearer {TOKEN}",
            "content-type": "application/json",
        }
    )

    @property
    def port(self) -> int:
        port = self.ready["port"]
        assert isinstance(port, int)
        return port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def ask(
        self, body: object, method: str = "POST", path: str = "/invocations", **headers: str
    ) -> Answered:
        """Send a request on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(self.connect()) as connection:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {**self.headers, **named})
            response = connection.getresponse()
            return Answered(response.status, dict(response.getheaders()), response.read())

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(120)


def engine_of(replica: Replica, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Wait until what the engine says of itself is so, and return it."""
    deadline = time.monotonic() + 60
    while True:
        said = replica.ask(b"", "GET", "/ping").json
        found: dict[str, float] = said["engine"]  # type: ignore[assignment]
        if found and condition(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@contextlib.contextmanager
def serving(saved: Saved, name: str, folder: Path, *options: str) -> Iterator[Replica]:
    """Run the server of a saved model until the end; `folder` is where it works."""
    with serving_with(saved.python, saved.model(name), folder, *options) as replica:
        yield replica


@contextlib.contextmanager
def serving_with(
    python: Path, model: Path, folder: Path, *options: str, **variables: str
) -> Iterator[Replica]:
    """Run the server of a model with a Python, and with further variables, until the end."""
    reading, writing = os.pipe()
    log = folder / f"{model.name}.log"
    command: list[str | Path] = [
        python,
        "-I",
        SERVE,
        "--model",
        model,
        "--ready-fd",
        str(writing),
    ]
    environment = {"PATH": os.defpath, "HOME": str(folder), "MODELPLANE_REPLICA_TOKEN": TOKEN}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env={**environment, **variables},
            pass_fds=(writing,),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(writing)
    try:
        with os.fdopen(reading) as lines:
            yield Replica(process, json.loads(lines.readline()), log)
    finally:
        # With all that it has started, an engine below it among them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
