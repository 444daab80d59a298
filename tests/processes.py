"""Which tests run in one process where they run in several: `make test` has two.

Those of a file share what its fixtures start. So do those of a folder whose shared system takes
long to start.
"""

import pytest

# Each of these would build the environments of its models once more.
_FOLDERS = ("tests/hosting/e2e",)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test, for `--dist loadgroup`."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((folder for folder in _FOLDERS if file.startswith(f"{folder}/")), file)
        item.add_marker(pytest.mark.xdist_group(group))
