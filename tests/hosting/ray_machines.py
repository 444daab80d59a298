"""Machines of a real Ray cluster: network namespaces of this one, joined by a bridge."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uv

from modelplane.adapters.shared.settings import environment

RAY = "ray[default]==2.60.0"
# The last parts of 198.18.0.0/15, which is for tests of networks (RFC 2544).
HERE = "198.19.77.1"
_CACHE = Path.home() / ".cache" / "modelplane-tests"


def ray_command() -> Path:
    """Return Ray's own command, in an environment that is made once and kept."""
    folder = _CACHE / f"ray-2.60.0-{sys.version_info.major}.{sys.version_info.minor}"
    command = folder / "bin" / "ray"
    if not command.exists():
        shutil.rmtree(folder, ignore_errors=True)
        tool = uv.find_uv_bin()
        _run(tool, "venv", "--no-project", "--python", sys.executable, str(folder))
        _run(tool, "pip", "install", "--python", str(folder / "bin" / "python"), RAY)
    return command


class Machine:
    """A machine of the cluster.

    Attributes:
        address: Its own.
    """

    def __init__(self, number: int, bridge: str, folder: Path) -> None:
        self.address = f"198.19.77.{number}"
        self._name = f"{bridge}-{number}"
        self._link = f"{bridge}v{number}"
        self._folder = folder
        self._started: subprocess.Popen[bytes] | None = None
        self._options: tuple[str, ...] = ()
        _run("ip", "netns", "add", self._name)
        inside = f"{self._link}i"
        _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", inside)
        _run("ip", "link", "set", self._link, "master", bridge, "up")
        _run("ip", "link", "set", inside, "netns", self._name)
        for words in (
            ("addr", "add", f"{self.address}/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", self._name, *words)

    def start(self, *options: str) -> None:
        """Run a part of Ray here."""
        kept = {key: value for key, value in environment().items() if "MODELPLANE" not in key}
        with (self._folder / f"{self._name}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self._name, str(ray_command()), "start"),
                    *("--node-ip-address", self.address, "--block", *options),
                ],
                env={
                    **kept,
                    "RAY_AUTH_MODE": "token",
                    "RAY_AUTH_TOKEN_PATH": str(self._folder / "token"),
                    "RAY_USAGE_STATS_ENABLED": "0",
                    # Beside other things this machine may be slow.
                    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
                    "RAY_raylet_start_wait_time_s": "60",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started, self._options = process, options

    def start_again(self) -> None:
        """Start what did not come up: Ray gives its agent no more than 15 s (ray#65983)."""
        if self._started is not None and self._started.poll() is not None:
            self.kill()
            self.start(*self._options)

    def processes(self, words: str) -> list[int]:
        """Return the processes here whose command has these words."""
        return [pid for pid in self._pids() if words in _command(pid)]

    def kill(self) -> None:
        """Kill all that runs here, as when the machine loses its power."""
        while pids := self._pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._started is not None:
                self._started.wait()
        self._started = None

    def cut(self) -> None:
        """Cut its cable: nobody hears of it any more, not even that it does not answer."""
        _run("ip", "link", "set", self._link, "down")

    def mend(self) -> None:
        """Mend its cable."""
        _run("ip", "link", "set", self._link, "up")

    def remove(self) -> None:
        """Leave nothing behind."""
        self.kill()
        _run("ip", "link", "del", self._link)
        _run("ip", "netns", "del", self._name)

    def _pids(self) -> list[int]:
        return [int(pid) for pid in _run("ip", "netns", "pids", self._name).split()]


@contextmanager
def machines(folder: Path, count: int) -> Iterator[list[Machine]]:
    """Give machines, which reach each other and this one at `HERE`."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("machines need network namespaces: root, and iproute2")
    bridge = f"mp{os.getpid() % 100_000}"
    made: list[Machine] = []
    _run("ip", "link", "add", bridge, "type", "bridge")
    try:
        _run("ip", "addr", "add", f"{HERE}/24", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
        for number in range(2, count + 2):
            made.append(Machine(number, bridge, folder))  # noqa: PERF401 - each is to be removed
        yield made
    finally:
        for machine in made:
            machine.remove()
        _run("ip", "link", "del", bridge)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr[-4000:])
    return done.stdout
