"""Which tests run in one process where they run in several: `make test` has four.

Those of a file share what its fixtures start. So do those of folders whose shared system takes long
to start; such folders come first, so that no process is left with them in the end.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Every further process would build the environments of the models once more, or start one more
# deployment, which takes some seconds at first and a share of a core until it is stopped.
TOGETHER = (
    ("tests/hosting/e2e/",),
    ("tests/faults/",),
    ("tests/e2e/", "tests/requirements/"),
    ("tests/hostile/",),
)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process file after file."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Let tests be scheduled so; only asked where there are several processes."""
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the folders that one process has to itself come first."""
    order = {folders[0]: place for place, folders in enumerate(TOGETHER)}
    items.sort(key=lambda item: order.get(scope_of(item.nodeid), len(order)))


def scope_of(nodeid: str) -> str:
    """Return the name of all tests that are run by the same process as this one."""
    together = (folders[0] for folders in TOGETHER if nodeid.startswith(folders))
    return next(together, nodeid.partition("::")[0])
