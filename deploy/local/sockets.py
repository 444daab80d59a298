"""Where the Unix sockets of a deployment are; used by `supervisor.py`."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from modelplane.deploy.envoy.options import MAX_PATH_BYTES
from modelplane.deploy.local.data_dir import DataDir

# Longest name of a socket, also of one that is about to take another's place.
_NAME_BYTES = 40


@contextlib.contextmanager
def socket_directory(data_dir: DataDir) -> Iterator[Path]:
    """Make the directory of the sockets, for this user alone; it goes in the end.

    It is in the data directory, unless that has so long a path that a socket could not have it.
    """
    own = data_dir.path / "run"
    if len(os.fsencode(own)) + 1 + _NAME_BYTES > MAX_PATH_BYTES:
        with tempfile.TemporaryDirectory(prefix="modelplane-") as short:
            yield Path(short)
        return
    # What is left of a supervisor that was killed.
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(mode=0o700)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
