"""Runs the blocks of one page: a shell and a Python that last as long as the page.

Variables, functions and imports of one block are there in the next, as for a reader who pastes one
after the other; what the shell exports is in Python's environment.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.docs.blocks import Block
from tests.ports import free_port

# What pages call the address of the system.
_ADDRESS = "127.0.0.1:8080"
_SECONDS = 60.0
_END = "=== the block ended ==="
# A call that is refused fails its block.
_PRELUDE = """
set -euo pipefail
curl() { command curl --fail-with-body --no-progress-meter "$@"; }
"""
_PYTHON = """
import contextlib, io, json, os, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    os.environ.update(block["environment"])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block["text"], block["place"], "exec"), names)
    print(said.getvalue(), block["end"], sep="\\n", flush=True)
"""


class BlockFailed(AssertionError):
    """A block did not do what its page says."""

    def __init__(self, block: Block, reason: str) -> None:
        super().__init__(f"{block.place}: {reason}\n{block.text}")


class Interpreter:
    """A process that reads one block after the other."""

    def __init__(self, command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def send(self, block: Block, line: str) -> str:
        """Let it read a line, and return what it says until the block has ended."""
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        said = b""
        deadline = time.monotonic() + _SECONDS
        while f"\n{_END}\n".encode() not in said:
            piece = self._read(deadline)
            if not piece:
                raise BlockFailed(block, f"failed:\n{said.decode(errors='replace')}")
            said += piece
        return said.decode().removesuffix(f"\n{_END}\n")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _read(self, deadline: float) -> bytes:
        assert self._process.stdout
        seconds = max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        return os.read(self._process.stdout.fileno(), 65536) if readable else b""


class Session:
    """What a reader of a page has before them.

    Attributes:
        directory: The working directory.
        environment: What the shell exports.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        address: str,
        names: Mapping[str, str],
    ) -> None:
        """Open a shell.

        Args:
            directory: The working directory.
            environment: Variables from the start.
            address: Where the system is.
            names: Names of the pages, and what is there in their place.
        """
        self.directory = directory
        self.environment = dict(environment)
        self._names = {**names, _ADDRESS: address}
        self._blocks = 0
        self._stack = ExitStack()
        self._shell = self._open(["bash", "--noprofile", "--norc"])
        self._python: Interpreter | None = None
        self._deployment: Deployment | None = None

    def close(self) -> None:
        """End what the page has started."""
        self._stack.close()

    def run(self, block: Block) -> str:
        """Run a block and return what it printed.

        Raises:
            BlockFailed: It fails.
        """
        if block.language == "python":
            return self._run_python(block)
        return self._run_shell(block)

    def serve(self, block: Block) -> None:
        """Start the deployment of a block; from here on the page is about it.

        Raises:
            BlockFailed: It does not come to serve.
        """
        port = free_port()
        text = re.sub(r"\bmodelplane up\b", f"exec modelplane up --port {port}", block.text)
        assert text != block.text, block.place
        own = self.directory / ".modelplane"
        if own.is_symlink():
            own.unlink()
        self._names[_ADDRESS] = f"127.0.0.1:{port}"
        running = running_deployment(self._write(text), self.directory, self.environment)
        self._deployment = self._stack.enter_context(running)
        # The last line of its greeting.
        said = self._deployment.wait_for(block, "/api/2.0/serving-endpoints")
        url, token = re.findall(r"(?:ready at|admin token:) (\S+)", said)
        self._run_shell(replace(block, text=f"export URL={url} TOKEN={token}\n"))

    def wait_for(self, block: Block) -> None:
        """Wait until the deployment has said what the block has."""
        assert self._deployment, block.place
        self._deployment.wait_for(block, block.text.strip())

    def rewritten(self, text: str) -> str:
        """Return a text of the page with the names of what is there."""
        for name, real in self._names.items():
            text = text.replace(name, real)
        return text

    def _run_shell(self, block: Block) -> str:
        prelude = "" if self._blocks else _PRELUDE
        script = self._write(prelude + self.rewritten(block.text))
        exported = self.directory.parent / "exported"
        line = f"source {script} </dev/null; env -0 > {exported}; printf '\\n{_END}\\n'"
        said = self._shell.send(block, line)
        pairs = exported.read_text().split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if pair)
        return said

    def _run_python(self, block: Block) -> str:
        if self._python is None:
            self._python = self._open([sys.executable, "-c", _PYTHON])
        told = {
            "text": self.rewritten(block.text),
            "place": block.place,
            "environment": self.environment,
            "end": _END,
        }
        return self._python.send(block, json.dumps(told))

    def _open(self, command: list[str]) -> Interpreter:
        interpreter = Interpreter(command, self.directory, self.environment)
        self._stack.callback(interpreter.close)
        return interpreter

    def _write(self, text: str) -> Path:
        self._blocks += 1
        script = self.directory.parent / f"block-{self._blocks}.sh"
        script.write_text(text)
        return script


class Deployment:
    """A `modelplane up` that a page has started."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def wait_for(self, block: Block, text: str) -> str:
        """Return what it has said once a text is there.

        Raises:
            BlockFailed: It ends, or takes too long.
        """
        deadline = time.monotonic() + _SECONDS
        while text not in (said := self._log.read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BlockFailed(block, f"it does not say '{text}':\n{said}")
            time.sleep(0.05)
        return said


@contextmanager
def running_deployment(
    script: Path, directory: Path, environment: Mapping[str, str]
) -> Iterator[Deployment]:
    """Run a script that ends in `modelplane up`, until the block ends."""
    log = script.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", str(script)],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Deployment(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_SECONDS)
