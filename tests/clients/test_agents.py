"""Coding agents themselves, with a tool round trip: set up as `modelplane agent-config` says.

The emulated model calls the tool that it is asked for by name, and repeats what the tool has said.
"""

import shlex
from pathlib import Path

import pytest

from modelplane.deploy.command.agent_config import build
from tests.clients.environments import run_agent
from tests.e2e.native.test_passage import CLAUDE_ENTITY
from tests.e2e.references import create_by_reference
from tests.e2e.rest import ENDPOINTS, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.e2e.test_usage import TRACKED
from tests.emulators.anthropic import AnthropicEmulator
from tests.emulators.fleet import Fleet
from tests.emulators.google_cloud_vertex_ai.external_models import external_model as vertex
from tests.emulators.openai import OpenAiEmulator

# What its own program is for where no script was run when it was installed.
CLAUDE = "@anthropic-ai/claude-code/cli-wrapper.cjs"
CLAUDE_COMMAND = (CLAUDE, "--dangerously-skip-permissions", "-p", "please call Read")
CLAUDE_OWN = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    # Lets it run tools as root.
    "IS_SANDBOX": "1",
}

pytestmark = pytest.mark.timeout(1000)


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider, model="gpt-4o")))


def variables(system: System, agent: str, model: str = "talk") -> dict[str, str]:
    """Return the environment that the agent's configuration exports."""
    exported = {}
    for line in build(agent, system.url, model).splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exported[name] = shlex.split(value)[0].replace("$TOKEN", system.token)
    return exported


def check_round_trip(provider: OpenAiEmulator) -> None:
    roles = [message["role"] for message in provider.requests[-1].body["messages"]]
    assert roles[-1] == "tool"
    assert "assistant" in roles


def test_claude_code(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    said = run_agent(CLAUDE_COMMAND, tmp_path, variables(system, "claude") | CLAUDE_OWN)
    assert "tool said" in said
    check_round_trip(provider)


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-4-5"])
def test_claude_code_with_claude(
    system: System,
    rest: Rest,
    anthropic_provider: AnthropicEmulator,
    tmp_path: Path,
    model: str,
) -> None:
    """What it sends passes as it is; it knows by the name what the model takes."""
    served = CLAUDE_ENTITY | {"external_model": CLAUDE_ENTITY["external_model"] | {"name": model}}
    rest.call("DELETE", f"{ENDPOINTS}/talk")
    rest.create(
        endpoint("talk", served, ai_gateway=TRACKED, tags=[{"key": "aliases", "value": model}])
    )
    said = run_agent(CLAUDE_COMMAND, tmp_path, variables(system, "claude", model) | CLAUDE_OWN)
    assert "tool said" in said
    assert {sent.body["model"] for sent in anthropic_provider.requests} == {model}
    # Not always in the last request: it asks for other things beside.
    assert any(b'"tool_result"' in sent.raw for sent in anthropic_provider.requests)
    wait_for(lambda: bool(rest.call("GET", f"{ENDPOINTS}/talk/usage")["usage"]))
    clients = {row["client"] for row in rest.call("GET", f"{ENDPOINTS}/talk/usage")["usage"]}
    assert clients == {"claude_code"}


def test_codex(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    assert "tool said" in run_codex(system, tmp_path)
    check_round_trip(provider)


def run_codex(system: System, folder: Path) -> str:
    (folder / ".codex").mkdir()
    (folder / ".codex" / "config.toml").write_text(build("codex", system.url, "talk"))
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    command = [".bin/codex", "exec", *options, "please call exec_command"]
    return run_agent(command, folder, {"TOKEN": system.token})


def test_codex_with_openai(
    system: System, rest: Rest, provider: OpenAiEmulator, tmp_path: Path
) -> None:
    rest.call("DELETE", f"{ENDPOINTS}/talk")
    config = {"openai_api_key": "{{secrets/my_scope/my_openai_api_key}}"}
    model = {"name": "gpt-4", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}
    rest.create(endpoint("talk", {"name": "gpt", "external_model": model}))
    said = run_codex(system, tmp_path)
    assert "responds" in said
    assert provider.requests[-1].path.endswith("/responses")
    assert b'"function_call_output"' in provider.requests[-1].raw


def test_gemini_cli(system: System, provider: OpenAiEmulator, tmp_path: Path) -> None:
    assert "tool said" in run_gemini_cli(system, tmp_path)
    check_round_trip(provider)


def run_gemini_cli(system: System, folder: Path) -> str:
    (folder / ".gemini").mkdir()
    settings = build("gemini", system.url, "talk").splitlines()[1]
    text = shlex.split(settings)[1]
    (folder / ".gemini" / "settings.json").write_text(text)
    command = [".bin/gemini", "--skip-trust", "--yolo", "--prompt", "please call list_directory"]
    return run_agent(command, folder, variables(system, "gemini"))


def test_gemini_cli_with_gemini(system: System, rest: Rest, fleet: Fleet, tmp_path: Path) -> None:
    rest.call("DELETE", f"{ENDPOINTS}/talk")
    create_by_reference(rest, "talk", "it", vertex("gemini-2.5-flash", "llm/v1/chat"))
    assert "tool list_directory said" in run_gemini_cli(system, tmp_path)
    asked = fleet.emulators["google-cloud-vertex-ai"].requests
    assert any(b'"functionResponse"' in sent.raw for sent in asked)
