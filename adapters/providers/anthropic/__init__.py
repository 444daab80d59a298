"""Anthropic: chat through Messages, completions through the legacy API."""
