"""Which disks keep the room that a file has reserved."""

import os
from pathlib import Path

import pytest

from modelplane.data_plane.usage.journal_room import keeps_room


def mounts(directory: Path, *kinds: str) -> Path:
    """Write a list of mounts as the kernel prints it, with the device of a directory."""
    device = directory.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    lines = ["22 1 0:999 / /proc rw shared:5 - proc proc rw"]
    lines += [f"23 1 {here} / /m rw,relatime shared:1 master:2 - {kind} dev rw" for kind in kinds]
    path = directory / "mountinfo"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("kinds", "keeps"),
    [
        (["ext4"], True),
        (["xfs", "xfs"], True),
        (["tmpfs"], True),
        (["btrfs"], False),
        (["zfs"], False),
        (["nfs4"], False),
        (["overlay"], False),
        (["ext4", "overlay"], False),
        ([], False),
    ],
)
def test_the_file_system_tells(tmp_path: Path, kinds: list[str], *, keeps: bool) -> None:
    assert keeps_room(tmp_path, mounts(tmp_path, *kinds)) is keeps


def test_where_nothing_is_known_the_answer_is_no(tmp_path: Path) -> None:
    assert not keeps_room(tmp_path, tmp_path / "none")
    assert not keeps_room(tmp_path / "none")
