"""Fixtures for every test: see the plugins."""

pytest_plugins = ["tests.postgres"]
