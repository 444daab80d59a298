"""Fixtures for every test: see the plugins."""

pytest_plugins = [
    "tests.effort",
    "tests.garbage",
    "tests.processes",
    "tests.e2e.fixtures",
    "tests.postgres",
    "tests.migrated",
    "tests.statements",
]
