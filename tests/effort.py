"""How much is tried where one thing is proved by repetition: random examples, rounds of a fault.

`make test` tries little, the same in each run, so that what one engineer changes cannot fail by
another one's chance. `make test-long` tries much, and other examples each time.
"""

import pytest
from hypothesis import HealthCheck, settings

# How long examples take says something about the machine: they are not timed.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", _UNTIMED, max_examples=25, derandomize=True, database=None)
settings.register_profile("long", _UNTIMED, max_examples=500, print_blob=True)
# `--hypothesis-profile` comes later, but before any test is imported.
settings.load_profile("short")


def times(few: int, many: int) -> int:
    """Return the number of repetitions: `few` in `make test`, `many` in `make test-long`."""
    return many if settings.get_current_profile_name() == "long" else few


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is marked as long to `make test-long`."""
    if times(few=0, many=1):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in set(long)]
