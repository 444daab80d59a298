"""The command `modelplane agent-config`: prints how a coding agent is set up for a deployment.

Called by `cli.py`. What each agent reads: `docs/coding-agents.md`, which shows the same texts.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence

from modelplane.adapters.shared.settings import complete

_URL = "http://127.0.0.1:8080"
_MODEL = "ENDPOINT"
# `{url}` is the deployment's address, `{model}` the name of an endpoint. The token stays where it
# is: in the variable TOKEN.
AGENTS: Mapping[str, str] = {
    "claude": """\
export ANTHROPIC_BASE_URL={url}/ai-gateway/anthropic
export ANTHROPIC_AUTH_TOKEN="$TOKEN"
export ANTHROPIC_MODEL={model}
export ANTHROPIC_DEFAULT_OPUS_MODEL={model}
export ANTHROPIC_DEFAULT_SONNET_MODEL={model}
export ANTHROPIC_DEFAULT_HAIKU_MODEL={model}
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=16000
""",
    "codex": """\
# ~/.codex/config.toml
model = "{model}"
model_provider = "modelplane"
web_search = "disabled"

[model_providers.modelplane]
name = "modelplane"
base_url = "{url}/ai-gateway/codex/v1"
env_key = "TOKEN"
wire_api = "responses"
""",
    "gemini": """\
mkdir -p ~/.gemini
echo '{{"security": {{"auth": {{"selectedType": "gemini-api-key"}}}}}}' > ~/.gemini/settings.json
export GOOGLE_GEMINI_BASE_URL={url}/ai-gateway/gemini
export GEMINI_API_KEY_AUTH_MECHANISM=bearer
export GEMINI_API_KEY="$TOKEN"
export GEMINI_MODEL={model}
""",
    "cursor": """\
# Settings > Models > API Keys
OpenAI API Key:           the value of TOKEN
Override OpenAI Base URL: {url}/ai-gateway/cursor/v1
Add model:                {model}
""",
    "copilot": """\
export COPILOT_PROVIDER_TYPE=openai
export COPILOT_PROVIDER_BASE_URL={url}/ai-gateway/mlflow/v1
export COPILOT_PROVIDER_BEARER_TOKEN="$TOKEN"
export COPILOT_MODEL={model}
""",
    "opencode": """\
# opencode.json
{{
  "$schema": "https://opencode.ai/config.json",
  "model": "modelplane/{model}",
  "provider": {{
    "modelplane": {{
      "npm": "@ai-sdk/openai-compatible",
      "name": "modelplane",
      "options": {{ "baseURL": "{url}/ai-gateway/mlflow/v1", "apiKey": "{{env:TOKEN}}" }},
      "models": {{ "{model}": {{}} }}
    }}
  }}
}}
""",
}


def main(argv: Sequence[str]) -> int:
    """Print the configuration; return the exit status."""
    parser = ArgumentParser(
        prog="modelplane agent-config",
        description="Print how a coding agent is set up to use this deployment. The token is not "
        "printed: put one into the variable TOKEN.",
    )
    parser.add_argument("agent", choices=sorted(AGENTS))
    parser.add_argument("--url", default=_URL, help=f"the deployment's address; default {_URL}")
    parser.add_argument(
        "--model", default=_MODEL, help="name of the endpoint that answers; default a placeholder"
    )
    complete(parser)
    arguments = parser.parse_args(argv)
    print(build(arguments.agent, arguments.url, arguments.model), end="")
    return 0


def build(agent: str, url: str, model: str) -> str:
    """Return the configuration of an agent.

    Args:
        agent: One of `AGENTS`.
        url: The deployment's address.
        model: Name of the endpoint that answers.
    """
    return AGENTS[agent].format(url=url.rstrip("/"), model=model)
