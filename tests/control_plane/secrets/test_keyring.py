import base64
from pathlib import Path

import pytest

from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.key_file import KeyFile
from modelplane.control_plane.secrets.keyring import (
    DeploymentKeys,
    local_key,
    opened_keyring,
    parse_keys,
)
from modelplane.control_plane.settings import Settings

PLACE = b"secret/scope/key"
A, B = b"a" * 32, b"b" * 32


def encoded(*keys: bytes) -> str:
    return ", ".join(base64.b64encode(key).decode() for key in keys)


def ids(keyring: DeploymentKeys) -> list[str]:
    return [key.id for key in keyring.master_keys()]


async def test_without_a_setting_a_file_is_made_when_one_is_wanted(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "new"))
    async with opened_keyring(settings) as first, opened_keyring(settings) as second:
        assert ids(first) == []
        first.make()
        assert len(ids(first)) == 1
        assert ids(first) == ids(second)


async def test_keys_of_the_setting_come_before_those_of_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), master_key=encoded(A, B))
    async with opened_keyring(settings) as keyring:
        assert ids(keyring) == [local_key(A).id, local_key(B).id]
    file = KeyFile(tmp_path / "master-key")
    assert not file.exists()
    file.create()
    async with opened_keyring(settings) as keyring:
        in_file = local_key(file.read()[0]).id
        assert ids(keyring) == [local_key(A).id, local_key(B).id, in_file]


@pytest.mark.parametrize("text", ["?", encoded(A) + ",?", "YWJj"])
async def test_a_setting_that_holds_no_key_is_refused_without_being_repeated(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ValueError, match=r"base64|32 bytes") as error:
        async with opened_keyring(Settings(data_dir=str(tmp_path), master_key=text)):
            pass
    assert text not in str(error.value)


def test_the_list_of_keys_may_end_in_a_comma() -> None:
    assert parse_keys(encoded(A) + ",") == [A]


async def test_a_key_added_to_the_file_is_current_at_once(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "master-key")
    file.create()
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as keyring:
        old = await Sealer(keyring).seal(b"value", PLACE)
        file.write([A, *file.read()])
        assert ids(keyring)[0] == local_key(A).id
        assert await Sealer(keyring).open(old, PLACE) == b"value"


async def test_a_file_that_goes_bad_leaves_the_keys_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(tmp_path / "master-key")
    file.create()
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as keyring:
        before = ids(keyring)
        file.path.write_bytes(b"damaged")
        assert ids(keyring) == before
        assert "cannot read the master keys" in caplog.text
        file.path.unlink()
        assert ids(keyring) == before
