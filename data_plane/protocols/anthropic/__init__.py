"""Anthropic's Messages API, as clients of it speak it.

API: https://docs.anthropic.com/en/api/messages. The way to Anthropic as a provider is
`adapters/providers/anthropic`.
"""
