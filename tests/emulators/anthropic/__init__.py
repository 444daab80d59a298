"""A strict Anthropic server for tests; the server itself is in `server`."""

from tests.emulators.anthropic.server import API_KEY, AnthropicEmulator

__all__ = ["API_KEY", "AnthropicEmulator"]
