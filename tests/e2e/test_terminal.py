"""Commands in a terminal of 80 columns: what fits, what is asked for, what is not shown."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

PROGRAM = str(Path(sys.executable).parent / "modelplane")
COLUMNS = 80
# A session's leader that opens a terminal is controlled by it.
LEADER = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execv(sys.argv[2], sys.argv[2:])"
_SECONDS = 120


class Terminal:
    """A command in a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.said = ""
        self._read_to = 0

    def until(self, text: str) -> None:
        """Wait until it has said a text after the one before."""
        deadline = time.monotonic() + _SECONDS
        while (found := self.said.find(text, self._read_to)) < 0:
            assert self._read(deadline), self.said
        self._read_to = found + len(text)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._descriptor, text.encode())

    def to_the_end(self) -> str:
        """Return all that it said."""
        deadline = time.monotonic() + _SECONDS
        while self._read(deadline):
            pass
        return self.said.replace("\r\n", "\n")

    def _read(self, deadline: float) -> bool:
        seconds = max(0.0, deadline - time.monotonic())
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:
            # So does the end look on Linux.
            return False
        self.said += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def terminal(system: System, directory: Path, *arguments: str) -> Iterator[Terminal]:
    """Run a command in a terminal until the block ends."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", LEADER, os.ttyname(theirs), PROGRAM, *arguments],
        env={"MODELPLANE_TOKEN": system.token, "HOME": str(directory), "TERM": "dumb"},
        cwd=directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours)
        process.wait(_SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture(name="url")
def _url(system: System, rest: Rest, provider: OpenAiEmulator) -> tuple[str, str]:
    limits = [{"key": "user", "calls": 500, "renewal_period": "minute"}]
    models = [entity(provider, f"model-{number}-{'x' * 30}") for number in range(3)]
    rest.create(endpoint(f"a-{'long-' * 8}name", *models, ai_gateway={"rate_limits": limits}))
    rest.create(endpoint("chat", entity(provider), description="\x1b]0;title\x07" + "word " * 40))
    return "--url", system.url


@pytest.mark.parametrize(
    "command",
    [
        ("endpoints", "list"),
        ("endpoints", "get", "chat"),
        ("status",),
        ("users", "list"),
        ("tokens", "list", "--all"),
    ],
)
def test_lines_fit(
    system: System, tmp_path: Path, url: tuple[str, str], command: tuple[str, ...]
) -> None:
    with terminal(system, tmp_path, *command, *url) as shown:
        said = shown.to_the_end()
    assert "\x1b" not in said
    assert [line for line in said.split("\n") if len(line) > COLUMNS] == []
    assert len(said.split("\n")) > 2


def test_a_conversation(system: System, tmp_path: Path, url: tuple[str, str]) -> None:
    with terminal(system, tmp_path, "endpoints", "chat", "chat", *url) as talk:
        talk.until("> ")
        talk.type("hello\n")
        talk.until("heard: hello")
        talk.until("> ")
        talk.type("\x04")
        talk.to_the_end()


def test_a_secret_is_asked_for_and_not_shown(
    system: System, rest: Rest, tmp_path: Path, url: tuple[str, str]
) -> None:
    put = ("secrets", "put", "my_scope", "typed", *url)
    with terminal(system, tmp_path, *put) as asked:
        asked.until("value of my_scope/typed: ")
        asked.type("sk-typed\n")
        said = asked.to_the_end()
    assert "put {{secrets/my_scope/typed}}" in said
    assert "sk-typed" not in said
    rest.call("POST", "/api/2.0/secrets/delete", {"scope": "my_scope", "key": "typed"})


def test_a_reader_that_has_seen_enough_is_no_failure(
    system: System, tmp_path: Path, url: tuple[str, str]
) -> None:
    process = subprocess.Popen(
        [PROGRAM, "endpoints", "list", "-o", "json", *url],
        env={"MODELPLANE_TOKEN": system.token, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(_SECONDS) == 0
