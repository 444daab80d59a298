"""Leaves the clients out of `make test`, which installs none of them."""

from pathlib import Path

from tests.effort import times


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Collect the tests in `make test-long` only."""
    return True if collection_path.suffix == ".py" and times(few=1, many=0) else None
