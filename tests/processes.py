"""Which tests run in one process where they run in several: `make test` has two.

Those of a file share what its fixtures start. So do those of a folder whose shared system takes
long to start.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Each of these would build the environments of its models once more.
_FOLDERS = ("tests/hosting/e2e/",)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process file after file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _FOLDERS if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Let tests be scheduled so; only asked where there are several processes."""
    return FileScheduling(config, log)
