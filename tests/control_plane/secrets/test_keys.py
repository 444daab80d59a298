import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.key_file import KeyFile
from modelplane.control_plane.secrets.keyring import DeploymentKeys, opened_keyring
from modelplane.control_plane.secrets.keys import drop, list_keys, main, rotate, rotate_signing
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.secrets.signing_keys import load_signing_keys
from tests.control_plane.secrets.test_credentials import keep_secret


@pytest.fixture
async def keyring(tmp_path: Path) -> AsyncIterator[DeploymentKeys]:
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as opened:
        opened.make()
        yield opened


@pytest.fixture
async def used(database: Database, keyring: DeploymentKeys) -> Database:
    await keep_secret(database, Sealer(keyring), "scope", "key", b"value")
    return database


def current(keyring: DeploymentKeys) -> str:
    return keyring.master_keys()[0].id


async def test_a_key_is_made_and_the_old_one_dropped_when_nothing_needs_it(
    keyring: DeploymentKeys, used: Database
) -> None:
    said: list[str] = []
    old = current(keyring)
    with pytest.raises(ValueError, match="is the current key"):
        await drop(keyring, used, old, said.append)
    await rotate(keyring, used, said.append)
    new = current(keyring)
    assert new != old
    assert said[0] == f"made the master key {new}"
    said.clear()
    await list_keys(keyring, used, said.append)
    assert said == [f"{new}  current  wraps 1", f"{old}  old  wraps 0"]
    await drop(keyring, used, old, said.append)
    assert [key.id for key in keyring.master_keys()] == [new]
    with pytest.raises(ValueError, match="holds no key"):
        await drop(keyring, used, old, said.append)


async def test_a_key_in_use_cannot_be_dropped(keyring: DeploymentKeys, used: Database) -> None:
    old = current(keyring)
    assert keyring.file is not None
    keyring.file.write([b"n" * 32, *keyring.file.read()])
    with pytest.raises(ValueError, match="may still wrap 1 values"):
        await drop(keyring, used, old, lambda _: None)
    assert len(keyring.master_keys()) == 2


async def test_a_rotation_that_was_cut_off_is_finished_with_its_own_key(
    keyring: DeploymentKeys, used: Database
) -> None:
    assert keyring.file is not None
    keyring.file.write([b"n" * 32, *keyring.file.read()])
    begun = current(keyring)
    said: list[str] = []
    await rotate(keyring, used, said.append)
    assert current(keyring) == begun
    assert "older key" in said[0]
    await list_keys(keyring, used, said.append)
    assert said[-2].endswith("current  wraps 1")


async def test_a_key_of_the_setting_is_replaced_there(
    tmp_path: Path, keyring: DeploymentKeys, used: Database
) -> None:
    del keyring
    encoded = base64.b64encode(b"n" * 32).decode()
    async with opened_keyring(Settings(data_dir=str(tmp_path), master_key=encoded)) as moved:
        # From the file to the setting.
        await rotate(moved, used, lambda _: None)
        with pytest.raises(ValueError, match="put a new key before it"):
            await rotate(moved, used, lambda _: None)
        with pytest.raises(ValueError, match="not in a file"):
            await drop(moved, used, current(moved), lambda _: None)
    KeyFile(tmp_path / "master-key").path.unlink()
    async with opened_keyring(Settings(data_dir=str(tmp_path), master_key=encoded)) as moved:
        said: list[str] = []
        await list_keys(moved, used, said.append)
    assert said == [f"{current(moved)}  current  wraps 1"]


async def test_what_no_key_opens_is_said(keyring: DeploymentKeys, used: Database) -> None:
    assert keyring.file is not None
    keyring.file.write([b"n" * 32])
    with pytest.raises(ValueError, match=r"no master key opens 1 .*: secret/scope/key"):
        await rotate(keyring, used, lambda _: None)
    said: list[str] = []
    await list_keys(keyring, used, said.append)
    assert said[-1].endswith("missing  wraps 1")


def test_the_command_lists_keys_and_refuses_a_directory_without_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--data-dir", str(tmp_path)]) == 1
    assert "is --data-dir right?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    async def make_database() -> None:
        database = Database(f"sqlite:///{tmp_path / 'modelplane.db'}")
        await migrate(database)
        await database.aclose()

    asyncio.run(make_database())
    KeyFile(tmp_path / "master-key").create()
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert "current  wraps 0" in capsys.readouterr().out


async def test_the_key_that_tokens_are_signed_with_is_replaced(
    keyring: DeploymentKeys, database: Database
) -> None:
    said: list[str] = []
    for revoke, expected in ((False, 1), (False, 2), (True, 1)):
        await rotate_signing(Sealer(keyring), database, said.append, revoke=revoke)
        async with database.read() as session:
            assert len(await load_signing_keys(session)) == expected
    assert said[-1] == "done: all tokens so far are void"
