"""A real `modelplane up` as a child process of a test."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from modelplane.adapters.shared.settings import environment
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.child import python_command
from modelplane.deploy.local.http_client import HttpClient

_SETTINGS = {
    # The tests' providers are on this machine.
    "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
    # No stop waits for an Envoy to notice it: calls that matter have arrived before.
    "MODELPLANE_NOTICE_SECONDS": "0.1",
}


class Deployment:
    """One `modelplane up` and what it says."""

    def __init__(self, data_dir: Path, process: asyncio.subprocess.Process) -> None:
        self.data_dir = data_dir
        self.process = process
        self.lines: list[str] = []

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.data_dir / "up.json").read_text())
        return state

    @property
    def pids(self) -> list[int]:
        state = self.state
        parts = [state["envoy"], state["control_plane"], *state["workers"]]
        return [part["pid"] for part in parts]

    @property
    def public(self) -> Address:
        return Address.parse(self.state["url"].removeprefix("http://"))

    @property
    def client(self) -> HttpClient:
        return HttpClient(self.public, (self.data_dir / "admin-token").read_text().strip())

    async def until_said(self, text: str) -> str:
        """Return the first line with `text`, waiting for it."""
        for line in self.lines:
            if text in line:
                return line
        assert self.process.stdout
        while raw := await self.process.stdout.readline():
            self.lines.append(raw.decode().rstrip())
            if text in self.lines[-1]:
                return self.lines[-1]
        raise AssertionError(f"ended without saying {text!r}: {self.lines}")

    async def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


async def start(
    data_dir: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Deployment:
    """Start `modelplane up`; the caller ends it.

    Args:
        data_dir: Its data directory.
        arguments: Its options.
        settings: Further settings in its environment.
        before: Called in its process before it starts.
    """
    inherited = {
        name: value for name, value in environment().items() if not name.startswith("MODELPLANE_")
    }
    command = [*python_command("modelplane"), "up", "--data-dir", str(data_dir)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=before,
        env={**inherited, **_SETTINGS, **(settings or {})},
    )
    return Deployment(data_dir, process)


@contextlib.asynccontextmanager
async def running(data_dir: Path, *arguments: str) -> AsyncIterator[Deployment]:
    """Run a deployment on a free port; yield it once it answers."""
    deployment = await start(data_dir, "--port", "0", *arguments)
    try:
        await deployment.until_said("modelplane is ready")
        yield deployment
    finally:
        if deployment.process.returncode is None:
            await deployment.stop()


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_dead(pid: int) -> None:
    """Wait for the end of a process; the test's timeout bounds it."""
    while is_alive(pid):
        await asyncio.sleep(0.02)
