"""Which kind of program has sent a query, by what it says of itself: pure.

Used by `usage/encoding.py`. Programs say it in `user-agent`, each in its own way. What they say is
theirs to choose: good for knowing whose tokens are used, and for nothing that must hold.
"""

import re

# Agents come before the SDKs that they are made with.
_KINDS = (
    ("claude_code", r"claude-cli/|claude-code"),
    ("codex", r"codex[-_/ ]"),
    ("gemini_cli", r"geminicli"),
    ("copilot", r"copilot"),
    ("cursor", r"cursor"),
    ("opencode", r"opencode"),
    ("mlflow", r"mlflow"),
    ("databricks_sdk", r"databricks-"),
    ("anthropic_sdk", r"(async)?anthropic/"),
    ("openai_sdk", r"(async)?(azure)?openai/"),
    ("google_genai_sdk", r"google-genai-sdk/"),
    ("grpc", r"grpc-"),
)
OTHER = "other"
CLIENTS = (*(kind for kind, _ in _KINDS), OTHER)
_FORM = re.compile("|".join(f"(?P<{kind}>{form})" for kind, form in _KINDS), re.IGNORECASE)
# What comes later are versions of its parts.
SAID_CHARACTERS = 96


def client_of(user_agent: str) -> str:
    """Return the kind, one of `CLIENTS`."""
    said = user_agent[:SAID_CHARACTERS]
    found = [match.lastgroup or OTHER for match in _FORM.finditer(said)]
    return min(found, key=CLIENTS.index, default=OTHER)
