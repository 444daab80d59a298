"""Starts programs for a benchmark, and ends them.

Used by `bench/system.py`, `bench/provider.py`, `bench/load.py` and others.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import IO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.processes import is_zombie, process_tree
from modelplane.deploy.local.ports import LOOPBACK, free_port

START_SECONDS = 240.0
_STOP_SECONDS = 120.0
# A signal that asks only whether the process is there.
_NOTHING = 0
# What is started must end with this process, even when that is killed.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass(frozen=True)
class Child:
    """A program that runs, and the file that holds what it wrote, or wrote to standard error."""

    command: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def first_line(self) -> str:
        """Return the first line that a program which speaks writes; what follows is let go."""
        output = self.process.stdout
        assert output is not None
        line = output.readline().decode().strip()
        # With nobody to read it, a program that writes more would stand still some day. It is the
        # thread's from here on: to close it would wait for what the program has started, too.
        self.process.stdout = None
        threading.Thread(target=_let_go, args=(output,), daemon=True).start()
        return line

    def check(self) -> None:
        """Raise a RuntimeError if the program has ended."""
        if self.process.poll() is not None:
            told = self.log.read_text()[-2000:]
            raise RuntimeError(f"{self.command!r} ended with {self.process.returncode}:\n{told}")


@asynccontextmanager
async def child(
    *command: str, settings: Mapping[str, str], directory: Path, speaks: bool = False
) -> AsyncIterator[Child]:
    """Run `command` with its log in `directory`, and end it on leaving.

    Args:
        command: Program and its arguments.
        settings: Environment variables beside this process's own.
        directory: Where the log goes.
        speaks: Whether its standard output is read; else that goes to the log, too.
    """
    started = _start(command, settings, directory, speaks=speaks)
    try:
        yield started
    finally:
        await asyncio.to_thread(_end, started.process)


async def wait_until_serving(address: str, started: Child) -> None:
    """Return once the gRPC health check at `address` says SERVING.

    Raises:
        RuntimeError: The program has ended.
        TimeoutError: It took too long.
    """
    async with asyncio.timeout(START_SECONDS), grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        while True:
            try:
                answer = await stub.Check(request, wait_for_ready=True, timeout=1.0)
            except grpc.aio.AioRpcError:
                answer = None
            if answer and answer.status == _SERVING:
                return
            started.check()
            await asyncio.sleep(0.01)


def python(module: str) -> tuple[str, ...]:
    """Return the command that runs a module."""
    return (sys.executable, "-m", module)


def free_address() -> str:
    """Return `host:port` of a loopback port that is free, and that nobody else is given."""
    return f"{LOOPBACK}:{free_port(SystemRandom())}"


def _let_go(output: IO[bytes]) -> None:
    with output:
        while output.read1(65_536):  # type: ignore[attr-defined]
            pass


def _start(
    command: Sequence[str], settings: Mapping[str, str], directory: Path, *, speaks: bool
) -> Child:
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _LAUNCH, *command],
            env={**os.environ, **settings},  # noqa: TID251 - passed on, not read
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if speaks else log,
            stderr=log,
        )
    return Child(command, process, Path(log.name))


def _end(process: subprocess.Popen[bytes]) -> None:
    offspring: list[int] = []
    if process.poll() is None:
        offspring = process_tree(process.pid)[1:]
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
    # Not every program ends what it has started.
    _end_others(offspring)


def _end_others(pids: Sequence[int]) -> None:
    """End processes that are not this one's children, and return once none is left."""
    deadline = time.monotonic() + _STOP_SECONDS
    how: int = signal.SIGTERM
    left = list(pids)
    while left := [pid for pid in left if _signalled(pid, how)]:
        # Asked once, then only looked at, and killed when that took too long.
        how = signal.SIGKILL if time.monotonic() > deadline else _NOTHING
        time.sleep(0.02)


def _signalled(pid: int, how: int) -> bool:
    """Send a signal, and return whether the process was there."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return False
    return not is_zombie(pid)
