"""Programs are told apart by what they say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.calls.clients import CLIENTS, client_of


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("claude-cli/2.1.126 (external, cli)", "claude_code"),
        ("codex_cli_rs/0.58.0 (Debian 13.0.0; x86_64) xterm-256color", "codex"),
        ("codex_exec/0.104.0 (Debian 13.0.0; x86_64) unknown", "codex"),
        ("GeminiCLI/0.20.0/gemini-2.5-pro (linux; x64) google-api-nodejs-client/9", "gemini_cli"),
        ("copilot/0.0.354 OpenAI/JS 5.20.1", "copilot"),
        ("opencode/1.0.55 ai-sdk/openai-compatible/1.0", "opencode"),
        ("Cursor/2.1.0", "cursor"),
        ("Anthropic/Python 0.75.0", "anthropic_sdk"),
        ("AsyncOpenAI/Python 2.8.0", "openai_sdk"),
        ("google-genai-sdk/1.52.0 gl-python/3.13.5", "google_genai_sdk"),
        ("databricks-sdk-py/0.73.0 python/3.12 os/linux", "databricks_sdk"),
        ("mlflow-python-client/3.6.0", "mlflow"),
        ("grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)", "grpc"),
        ("curl/8.14.1", "other"),
        ("", "other"),
    ],
)
def test_a_program_is_known(user_agent: str, kind: str) -> None:
    assert client_of(user_agent) == kind


@given(st.text(max_size=200))
def test_kinds_are_few_whatever_is_said(user_agent: str) -> None:
    assert client_of(user_agent) in CLIENTS
