"""What coding agents are set up with."""

import json
import tomllib

import pytest

from modelplane.deploy.command.agent_config import AGENTS, build, main
from tests.docs.blocks import ROOT, find_blocks

PAGE = ROOT / "docs" / "coding-agents.md"
URL = "https://models.example.com"


@pytest.mark.parametrize("agent", AGENTS)
def test_the_page_shows_what_the_command_prints(
    agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [block.text.strip() for block in find_blocks(PAGE)]
    assert main([agent]) == 0
    assert capsys.readouterr().out.strip() in shown


@pytest.mark.parametrize("agent", AGENTS)
def test_the_address_and_the_endpoint_are_named(agent: str) -> None:
    printed = build(agent, URL + "/", "sonnet")
    assert f"{URL}/ai-gateway/" in printed
    assert "sonnet" in printed
    assert "ENDPOINT" not in printed


def test_files_can_be_read() -> None:
    codex = tomllib.loads(build("codex", URL, "sonnet"))
    assert codex["model_providers"]["modelplane"]["wire_api"] == "responses"
    _, opencode = build("opencode", URL, "sonnet").split("\n", 1)
    assert json.loads(opencode)["provider"]["modelplane"]["options"]["apiKey"] == "{env:TOKEN}"
