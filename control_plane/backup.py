"""The commands `modelplane backup` and `modelplane restore`: the database, and where its key is.

A backup is a directory with a copy of the database, as of one moment, and a note of what it is.
Before: `modelplane`. After: `store.copies`.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.settings import environment, load, setting
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.keyring import FILE_NAME
from modelplane.control_plane.store.copies import (
    copy_sqlite,
    dump_postgresql,
    load_postgresql,
    schema_of,
)
from modelplane.control_plane.store.database import Database, existing_database
from modelplane.control_plane.store.migrate import known_schemas

_NOTE = "backup.json"
_SQLITE, _POSTGRESQL = "modelplane.db", "modelplane.dump"
_DATA_HELP = "directory of the database file and the master key"
_URL_HELP = "sqlite:// or postgresql:// URL; empty: a file in the data directory"


@dataclass(frozen=True)
class BackupOptions:
    """Copy the database, while it is in use, into a new directory."""

    data_dir: str = setting(".modelplane", _DATA_HELP)
    database_url: str = setting("", _URL_HELP)
    into: str = setting("backup", "directory that is made for the copy", variable=False)
    keys: str = setting(
        "", "directory that the master key is copied to, not beside the database", variable=False
    )


@dataclass(frozen=True)
class RestoreOptions:
    """Put a copy of a database where none is."""

    data_dir: str = setting(".modelplane", _DATA_HELP)
    database_url: str = setting("", _URL_HELP)
    backup: str = setting("backup", "directory that `modelplane backup` has made", variable=False)
    keys: str = setting("", "directory with the master key", variable=False)


def main(argv: Sequence[str]) -> int:
    """Run `modelplane backup`; return the exit code."""
    options = load(BackupOptions, "modelplane backup", argv, environment())
    return _told("backup", back_up(options))


def main_restore(argv: Sequence[str]) -> int:
    """Run `modelplane restore`; return the exit code."""
    options = load(RestoreOptions, "modelplane restore", argv, environment())
    return _told("restore", restore(options))


def _told(name: str, work: Coroutine[None, None, list[str]]) -> int:
    try:
        print(*asyncio.run(work), sep="\n")  # noqa: T201 - for a person
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        print(f"modelplane {name}: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def back_up(options: BackupOptions) -> list[str]:
    """Make a backup; return what to tell the operator.

    Raises:
        ValueError: There is no database, the directory is there, or the copy failed.
        OSError: Something cannot be written.
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is damaged.
    """
    into = Path(options.into)
    async with existing_database(_url(options)) as database:
        if (schema := await schema_of(database)) is None:
            raise ValueError(f"the database {database.place} is empty")
        _make(into)
        try:
            name = await _copy(database, options.database_url, into)
        except (ValueError, OSError):
            shutil.rmtree(into)
            raise
    note = {"release": VERSION, "schema": schema, "file": name, "sha256": _digest(into / name)}
    # Last: a directory without it is no backup.
    (into / _NOTE).write_text(json.dumps(note, indent=2) + "\n")
    return [f"{into / name}: schema {schema}", *_keep_key(options)]


async def restore(options: RestoreOptions) -> list[str]:
    """Put a backup where no database is; return what to tell the operator.

    Raises:
        ValueError: It is no backup, of another kind of database or of a newer release, or there is
            a database already.
        OSError: Something cannot be read or written.
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is damaged.
    """
    name, schema = _checked(Path(options.backup))
    source = Path(options.backup) / name
    url = _url(options)
    if (name == _POSTGRESQL) != url.startswith("postgres"):
        raise ValueError(
            f"{source} is of {'PostgreSQL' if name == _POSTGRESQL else 'SQLite'}, and "
            f"{'--database-url' if options.database_url else '--data-dir'} names the other"
        )
    if name == _POSTGRESQL:
        async with aclosing(Database(url)) as database:
            if await schema_of(database) is not None:
                raise ValueError(f"the database {database.place} is not empty")
        await asyncio.to_thread(load_postgresql, url, source)
    else:
        await asyncio.to_thread(_restore_file, source, _file_of(url))
    return [f"{source} is restored: schema {schema}", *_put_key(options)]


async def _copy(database: Database, url: str, into: Path) -> str:
    """Copy the database into a directory; return the name of the file."""
    if database.is_postgresql:
        await asyncio.to_thread(dump_postgresql, url, into / _POSTGRESQL)
        return _POSTGRESQL
    await asyncio.to_thread(copy_sqlite, Path(database.place), into / _SQLITE)
    return _SQLITE


def _url(options: BackupOptions | RestoreOptions) -> str:
    return options.database_url or f"sqlite:///{Path(options.data_dir) / 'modelplane.db'}"


def _file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ValueError(f"{directory} is there: name a new directory") from None


def _checked(directory: Path) -> tuple[str, str]:
    """Return file and schema of a backup that is whole.

    Raises:
        ValueError: It is none.
    """
    try:
        note = json.loads((directory / _NOTE).read_text())
        name, schema, digest = (str(note[key]) for key in ("file", "schema", "sha256"))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise ValueError(f"{directory} is no backup: {_NOTE} is not there, or damaged") from None
    if name not in (_SQLITE, _POSTGRESQL) or _digest(directory / name) != digest:
        raise ValueError(f"{directory / name} is not what was written there: it is damaged")
    if schema not in known_schemas():
        raise ValueError(f"the backup has schema {schema}, which this release does not know")
    return name, schema


def _restore_file(source: Path, target: Path) -> None:
    beside = [target.with_name(f"{target.name}{end}") for end in ("", "-wal", "-shm")]
    if there := [file for file in beside if file.exists()]:
        raise ValueError(f"{there[0]} is there: move it away first, with all beside it")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    copy_sqlite(source, new)
    new.rename(target)


def _keep_key(options: BackupOptions) -> list[str]:
    key = Path(options.data_dir) / FILE_NAME
    if not key.exists():
        return ["the master key is in no file here: keep what holds it"]
    if not options.keys:
        return [f"without {key} no secret in it can be opened: keep a copy elsewhere (--keys)"]
    Path(options.keys).mkdir(mode=0o700, parents=True, exist_ok=True)
    return [f"the master key: {_copy_key(key, Path(options.keys) / FILE_NAME)}"]


def _put_key(options: RestoreOptions) -> list[str]:
    target = Path(options.data_dir) / FILE_NAME
    if not options.keys:
        there = target.exists() or "MODELPLANE_MASTER_KEY" in environment()
        return [] if there else [f"put the master key to {target} before you start (--keys)"]
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [f"the master key: {_copy_key(Path(options.keys) / FILE_NAME, target)}"]


def _copy_key(source: Path, target: Path) -> Path:
    """Copy a key to where none or the same is, for its owner alone.

    Raises:
        ValueError: Another key is there.
    """
    content = source.read_bytes()
    if target.exists():
        if target.read_bytes() != content:
            raise ValueError(f"another key is there: {target}")
        return target
    with os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    return target


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
