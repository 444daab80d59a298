import base64
import os
import stat
from pathlib import Path

import pytest

from modelplane.control_plane.secrets.key_file import KeyFile


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys" / "master-key")


def test_it_is_made_once_and_only_its_owner_may_read_it(file: KeyFile) -> None:
    file.create()
    keys = file.read()
    assert [len(key) for key in keys] == [32]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.create()
    assert file.read() == keys
    assert list(file.path.parent.iterdir()) == [file.path]


def test_it_holds_several_keys_in_their_order(file: KeyFile) -> None:
    file.create()
    before = file.mark()
    keys = [b"n" * 32, *file.read()]
    with file.locked():
        file.write(keys)
    assert file.read() == keys
    assert file.mark() != before
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_the_raw_key_of_the_first_releases_is_read(file: KeyFile) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(key := os.urandom(32))
    file.path.chmod(0o600)
    assert file.read() == [key]


def test_one_that_others_may_read_is_refused(file: KeyFile) -> None:
    file.create()
    file.path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        file.read()


@pytest.mark.parametrize("content", [b"", b"short", base64.b64encode(b"short"), b"!" * 44])
def test_one_that_holds_no_key_is_refused(file: KeyFile, content: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    with pytest.raises(ValueError, match="does not hold keys"):
        file.read()
