"""What the tests of Bedrock's chats share: an adapter, tools, a schema."""

from modelplane.adapters.providers.amazon_bedrock.adapter import BedrockAdapter
from modelplane.adapters.providers.amazon_bedrock.provider import build_amazon_bedrock_adapter
from modelplane.adapters.providers.types import JsonObject
from tests.emulators.amazon_bedrock.configs import external_model

NOW = 1_700_000_000.5
CLAUDE = "claude-3-sonnet-20240229-v1:0"
CLAUDE_ID = f"anthropic.{CLAUDE}"
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}},
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
WEATHER_SPEC = {
    "toolSpec": {
        "name": "weather",
        "description": "Tells the weather.",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}


def adapter(name: str = CLAUDE, family: str = "anthropic", task: str = "chat") -> BedrockAdapter:
    return build_amazon_bedrock_adapter(external_model(name, family, task), lambda: NOW)


def user(content: object) -> JsonObject:
    return {"role": "user", "content": content}


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"a": {}}}},
}
