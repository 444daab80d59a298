"""Servers of one's own that speak OpenAI's API: the emulated OpenAI, found by a full URL."""
