"""`modelplane logs` beside a deployment that answers and refuses."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.commands import Shell, shell
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.e2e.test_terminal import PROGRAM
from tests.emulators.openai import OpenAiEmulator

__all__ = ["shell"]

HELLO = {"messages": [{"role": "user", "content": "a word for no log"}]}


@pytest.fixture(name="lost")
def _lost(rest: Rest, provider: OpenAiEmulator) -> str:
    """Give the name of an endpoint whose provider knows no such model."""
    rest.create(endpoint("lost", entity(provider, "x", "no-such-model")))
    return "lost"


def logged(shell: Shell, system: System, *arguments: str) -> str:
    return shell.run("logs", "--data-dir", str(system.data_dir), *arguments)


def test_a_call_is_a_line_with_the_reason_of_its_failure(
    shell: Shell, system: System, rest: Rest, provider: OpenAiEmulator, lost: str
) -> None:
    rest.create(endpoint("heard", entity(provider, "small")))
    assert rest.query("heard", HELLO).status_code == 200
    assert rest.query(lost, HELLO).status_code == 404
    assert rest.query("heard", {"messages": "a word for no log"}).status_code == 400
    assert rest.send("GET", "/api/2.0/serving-endpoints/nobody").status_code == 404
    assert rest.send("GET", "/no-such-path").status_code == 404
    parts = ("heard/small", "lost/x", "cannot be right", "GetServingEndpoint", "/no-such-path")
    # Each process writes a line once it is done with the call.
    wait_for(lambda: all(part in logged(shell, system, "-n", "50") for part in parts))
    told = logged(shell, system, "-n", "50")
    assert "a word for no log" not in told
    words = [" ".join(line.split()[4:]) for line in told.splitlines()]
    assert any(line.startswith("heard/small admin ") and "tokens" in line for line in words)
    assert "lost/x admin openai: The provider knows no such model or deployment" in words
    assert any("heard" in line and "cannot be right" in line for line in words)
    assert any("GetServingEndpoint admin" in line and "does not exist" in line for line in words)
    assert "GET /no-such-path 127.0.0.1 there is no such path" in words
    failed = logged(shell, system, "--failed", "--endpoint", lost, "-n", "1")
    assert failed.endswith("openai: The provider knows no such model or deployment\n")
    [line] = logged(shell, system, "--endpoint", lost, "-o", "json", "-n", "1").splitlines()
    assert json.loads(line)["error"] == "ModelNotFound"


@pytest.fixture(name="follower")
def _follower(system: System, lost: str) -> Iterator[subprocess.Popen[str]]:
    """Give a command that follows what one endpoint is asked, from its first call on."""
    options = ("-f", "-n", "1", "--endpoint", lost, "--data-dir", str(system.data_dir))
    with subprocess.Popen(
        [PROGRAM, "logs", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.terminate()


def test_logs_are_followed(follower: subprocess.Popen[str], rest: Rest, lost: str) -> None:
    assert follower.stdout
    rest.query(lost, HELLO)
    line = follower.stdout.readline()
    assert "lost/x admin openai: The provider knows no such model" in line


def test_logs_that_are_not_here(shell: Shell, system: System) -> None:
    for options in (("--data-dir", "/nowhere"), ("--url", system.url)):
        assert "where the deployment runs" in shell.error("logs", *options, status=2)
    assert "--lines is -1" in shell.error("logs", "--lines", "-1", status=2)
