"""A backup is one moment of the database, and is restored whole or not at all, where nothing is."""

import sqlite3
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from modelplane.control_plane.backup import (
    BackupOptions,
    RestoreOptions,
    back_up,
    main,
    main_restore,
    restore,
)
from modelplane.control_plane.migrate import run
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import Database
from tests.postgres import carried_programs, fresh_database

STORE_ID = "SELECT store_id FROM revision"


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """Return a data directory with a database and a master key."""
    directory = tmp_path / "data"
    directory.mkdir()
    await run(Settings(data_dir=str(directory)))
    (directory / "master-key").write_text("key")
    return directory


def asked(directory: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / "modelplane.db")) as connection:
        return connection.execute(question).fetchall()


def options(data: Path, name: str = "backup") -> BackupOptions:
    return BackupOptions(str(data), "", str(data.parent / name), str(data.parent / "keys"))


def target(data: Path, name: str = "restored") -> RestoreOptions:
    parent = data.parent
    return RestoreOptions(str(parent / name), "", str(parent / "backup"), str(parent / "keys"))


async def test_a_backup_is_restored_with_its_key(data: Path) -> None:
    with closing(sqlite3.connect(data / "modelplane.db")) as writer:
        # Somebody is writing: what was not committed is not in it.
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE revision SET store_id = 'other'")
        told = await back_up(options(data))
    assert any("keys/master-key" in line for line in told)
    assert not list((data.parent / "backup").glob("*key*"))
    await restore(target(data))
    assert asked(data.parent / "restored", STORE_ID) == asked(data, STORE_ID)
    key = data.parent / "restored" / "master-key"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("key", 0o600)
    assert (data.parent / "backup").stat().st_mode & 0o777 == 0o700


async def test_nothing_is_written_over(data: Path) -> None:
    await back_up(options(data))
    with pytest.raises(ValueError, match="name a new directory"):
        await back_up(options(data))
    await restore(target(data))
    with pytest.raises(ValueError, match="move it away first"):
        await restore(target(data))
    (data.parent / "keys" / "master-key").write_text("another")
    with pytest.raises(ValueError, match="another key"):
        await back_up(options(data, "second"))


async def test_a_backup_that_is_damaged_is_refused(data: Path) -> None:
    await back_up(options(data))
    copy = data.parent / "backup" / "modelplane.db"
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged"):
        await restore(target(data))
    copy.write_bytes(content)
    note = data.parent / "backup" / "backup.json"
    noted = note.read_text()
    note.write_text(noted.replace('"schema": "00', '"schema": "99'))
    with pytest.raises(ValueError, match="does not know"):
        await restore(target(data))
    note.write_text("{}")
    with pytest.raises(ValueError, match="no backup"):
        await restore(target(data))
    assert not (data.parent / "restored" / "modelplane.db").exists()


def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data-dir", str(tmp_path), "--into", str(tmp_path / "new")]) == 1
    assert main_restore(["--backup", str(tmp_path)]) == 1
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("modelplane ")


async def test_postgresql_is_copied_by_its_own_programs(
    postgres_url: str,
    postgres_server_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    await run(Settings(database_url=postgres_url))
    asking = BackupOptions(str(tmp_path), postgres_url, str(backup))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="install the client programs"):
        await back_up(asking)
    monkeypatch.setenv("PATH", str(carried_programs()))
    await back_up(asking)
    with pytest.raises(ValueError, match="of PostgreSQL"):
        await restore(RestoreOptions(str(restored), "", str(backup)))
    with pytest.raises(ValueError, match="not empty"):
        await restore(RestoreOptions(str(restored), postgres_url, str(backup)))
    async with fresh_database(postgres_server_url) as other:
        await restore(RestoreOptions(str(restored), other, str(backup)))
        assert await store_id(other) == await store_id(postgres_url)


async def store_id(url: str) -> object:
    async with aclosing(Database(url)) as database, database.engine.connect() as connection:
        return (await connection.execute(text(STORE_ID))).scalar_one()
