"""Starts the real system as its users do, `modelplane up`, and stops it again.

`fixtures` gives it to the tests.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.emulators.emulator import Emulator
from tests.ports import free_port

TOKEN = "dapi-admin-token-of-the-tests"
# These end what hangs; a busy machine may take long.
_START_SECONDS = 240.0
# The emulators are on this machine, where providers may not be unless that is allowed.
_SETTINGS = {
    "PATH": os.defpath,
    "MODELPLANE_ADMIN_TOKEN": TOKEN,
    "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
    # Tests of failures share upstreams, which must not be left alone for them.
    "MODELPLANE_CIRCUIT_FAILURES": "0",
    # Nobody calls when a deployment ends.
    "MODELPLANE_NOTICE_SECONDS": "0.1",
}
_STOP_SECONDS = 120.0
_SOON_SECONDS = 120.0


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


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once a condition holds, which must come about by itself."""
    deadline = time.monotonic() + _SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.02)


def until_it_is_late(emulator: Emulator, ask: Callable[[float], None]) -> None:
    """Ask with a deadline that passes while a provider has the question, and wait for its end.

    Args:
        emulator: The provider, which does not answer.
        ask: Asks, with so many seconds for the answer.
    """
    seen, cancelled = len(emulator.requests), emulator.cancelled
    # A busy machine may take longer than the first one until the provider is reached.
    for seconds in (0.5, 5.0, 50.0):
        ask(seconds)
        if len(emulator.requests) > seen:
            break
    wait_for(lambda: emulator.cancelled - cancelled >= len(emulator.requests) - seen > 0)


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
        return requests.get(f"{system.url}/health", timeout=60).ok
    except requests.ConnectionError:
        return False
