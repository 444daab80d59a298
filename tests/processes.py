"""Which tests run in one process where they run in several: `make test` has three.

Those of a file share what its fixtures start. So do those of a folder whose shared system takes
long to start; such a folder comes first, so that no process is left with it in the end.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Each of these would build the environments of its models once more.
_FOLDERS = ("tests/hosting/e2e/",)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process file after file."""

    def _split_scope(self, nodeid: str) -> str:
        return _folder_of(nodeid) or nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Let tests be scheduled so; only asked where there are several processes."""
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the folders that one process has to itself come first."""
    items.sort(key=lambda item: not _folder_of(item.nodeid))


def _folder_of(nodeid: str) -> str:
    """Return the folder whose tests stay together, "" where there is none."""
    return next((folder for folder in _FOLDERS if nodeid.startswith(folder)), "")
