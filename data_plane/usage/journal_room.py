"""Tells whether files that have reserved their room may be written through memory: pure, but reads.

Used by `journal.py`. A write through memory cannot fail with an error: where the disk refuses it,
the process is killed. So it is for file systems that keep the room which a file has reserved, not
for those that write each block to a new place, or over a network.
"""

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_KEEP_ROOM = frozenset({"ext4", "xfs", "tmpfs"})


def keeps_room(directory: Path, mounts: Path = _MOUNTS) -> bool:
    """Tell whether what files in `directory` reserve is theirs whatever else fills the disk.

    Args:
        directory: Where the files are.
        mounts: The kernel's list of mounts; without it, the answer is no.
    """
    try:
        device = directory.stat().st_dev
        lines = mounts.read_text().splitlines()
    except OSError:
        return False
    name = f"{os.major(device)}:{os.minor(device)}"
    kinds = {
        line.partition(" - ")[2].partition(" ")[0] for line in lines if line.split()[2] == name
    }
    return bool(kinds) and kinds <= _KEEP_ROOM
