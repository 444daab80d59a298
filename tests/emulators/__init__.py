"""Servers that stand in for remote providers and reject what the real ones reject."""
