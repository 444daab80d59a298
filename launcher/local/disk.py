"""What a replica has written to the disk, which has a bound as its memory has.

Used by `replica.py`, every few seconds; the sizes of single files are bounded by the system.
"""

import os
from itertools import islice
from pathlib import Path

MOST_BYTES = 16 << 30
MOST_FILES = 100_000
_BLOCK = 512


def excess_of(folder: Path) -> str:
    """Return in words what is too much in a folder; empty: nothing is.

    Files that are deleted meanwhile are left out, and links are not followed.
    """
    used = files = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as scanned:
                entries = list(islice(scanned, MOST_FILES + 1))
        except OSError:
            continue
        for entry in entries:
            files += 1
            try:
                used += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
            except OSError:
                continue
        if used > MOST_BYTES:
            return f"it has written more than {MOST_BYTES >> 30} GiB into its folder"
        if files > MOST_FILES:
            return f"it has more than {MOST_FILES:,} files in its folder"
    return ""
