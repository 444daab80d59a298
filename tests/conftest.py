"""Fixtures for every test: see the plugins."""

from hypothesis import HealthCheck, settings

# How long examples take says something about the machine: they are not timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.e2e.fixtures", "tests.postgres", "tests.migrated"]
