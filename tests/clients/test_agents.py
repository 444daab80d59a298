"""Coding agents themselves, with a tool round trip: set up as `modelplane agent-config` says.

The emulated model calls the tool that it is asked for by name, and repeats what the tool has said.
"""

import shlex
from pathlib import Path

import pytest

from modelplane.deploy.command.agent_config import build
from tests.clients.environments import run_agent
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

# What its own program is for where no script was run when it was installed.
CLAUDE = "@anthropic-ai/claude-code/cli-wrapper.cjs"

pytestmark = pytest.mark.timeout(1000)


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider, model="gpt-4o")))


def variables(system: System, agent: str) -> dict[str, str]:
    """Return the environment that the agent's configuration exports."""
    exported = {}
    for line in build(agent, system.url, "talk").splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exported[name] = shlex.split(value)[0].replace("$TOKEN", system.token)
    return exported


def check_round_trip(provider: OpenAiEmulator) -> None:
    roles = [message["role"] for message in provider.requests[-1].body["messages"]]
    assert roles[-1] == "tool"
    assert "assistant" in roles


def test_claude_code(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    own = {
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        # Lets it run tools as root.
        "IS_SANDBOX": "1",
    }
    command = [CLAUDE, "--dangerously-skip-permissions", "-p", "please call Read"]
    said = run_agent(command, tmp_path, variables(system, "claude") | own)
    assert "tool said" in said
    check_round_trip(provider)


def test_codex(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(build("codex", system.url, "talk"))
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    command = [".bin/codex", "exec", *options, "please call exec_command"]
    said = run_agent(command, tmp_path, {"TOKEN": system.token})
    assert "tool said" in said
    check_round_trip(provider)


def test_gemini_cli(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    (tmp_path / ".gemini").mkdir()
    settings = build("gemini", system.url, "talk").splitlines()[1]
    text = shlex.split(settings)[1]
    (tmp_path / ".gemini" / "settings.json").write_text(text)
    command = [".bin/gemini", "--skip-trust", "--yolo", "--prompt", "please call list_directory"]
    said = run_agent(command, tmp_path, variables(system, "gemini"))
    assert "tool said" in said
    check_round_trip(provider)
