"""Starts the real system as its users do, `modelplane up`, and stops it again.

`fixtures` gives it to the tests.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

TOKEN = "dapi-admin-token-of-the-tests"
_START_SECONDS = 60.0
# The emulators are on this machine, where providers may not be unless that is allowed.
_SETTINGS = {
    "PATH": os.defpath,
    "MODELPLANE_ADMIN_TOKEN": TOKEN,
    "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
    # Tests of failures share upstreams, which must not be left alone for them.
    "MODELPLANE_CIRCUIT_FAILURES": "0",
}
_STOP_SECONDS = 45.0
_SOON_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class System:
    """A running system.

    Attributes:
        url: Public address, REST.
        target: Public address, gRPC.
        token: The admin's bearer token.
        data_dir: Directory that holds its database, keys and logs.
    """

    url: str
    target: str
    token: str
    data_dir: Path

    @property
    def headers(self) -> dict[str, str]:
        """Headers that authenticate a request."""
        return {"Authorization": f"Bearer {self.token}"}


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once a condition holds, which must come about soon."""
    deadline = time.monotonic() + _SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.02)


@contextmanager
def run_system(
    data_dir: Path, *arguments: str, workers: int = 2, settings: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Run `modelplane up`, with further arguments and settings, until the block ends."""
    port = free_port()
    system = System(f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", TOKEN, data_dir)
    program = [str(Path(sys.executable).parent / "modelplane"), "up"]
    options = ["--data-dir", str(data_dir), "--port", str(port), "--workers", str(workers)]
    output = data_dir.parent / f"{data_dir.name}.out"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*program, *options, *arguments],
            env={**_SETTINGS, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(system, process, output)
        yield system
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_until_ready(system: System, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        # The command says its address once a request through Envoy has worked.
        if system.url.encode() in output.read_bytes() and _answers(system):
            return
        time.sleep(0.1)
    raise AssertionError(f"the system did not start:\n{output.read_text()}")


def _answers(system: System) -> bool:
    try:
        return requests.get(f"{system.url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
