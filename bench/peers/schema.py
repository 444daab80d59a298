"""The tables that TensorZero keeps in PostgreSQL, from the migrations in its source archive.

Its command that makes them, `gateway --run-postgres-migrations`, is in the container image alone;
the wheel holds the gateway without commands. This does what the command does: each migration once,
in order, noted in the table in which the gateway looks for it (sqlx's, `sqlx.toml` names it).
"""

import hashlib
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import asyncpg

from bench.peers.install import PINS, run

# By crate.
_TABLES = {
    "tensorzero-core": "_sqlx_migrations",
    "tensorzero-auth": "tensorzero_auth__sqlx_migrations",
    "tensorzero-optimizers": "tensorzero_optimizers__sqlx_migrations",
    "tensorzero-stored-config": "tensorzero_stored_config__sqlx_migrations",
}
_COLUMNS = """
    version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL,
    success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL
"""
# Needs the tables of a queue of evaluations, which no request uses.
_LEFT_OUT = "evaluations_worker_queues"
# pip asks a source archive for its metadata before it keeps it, and would need Rust for that.
_BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(directory, settings=None):
    name = "tensorzero-2026.6.0.dist-info"
    metadata = pathlib.Path(directory, name, "METADATA")
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\\nName: tensorzero\\nVersion: 2026.6.0\\n")
    return name
"""


def fetch_source(home: Path) -> None:
    """Fetch the source archive, whose digest is pinned, into a directory."""
    backend = home / "backend"
    backend.mkdir(exist_ok=True)
    (backend / "maturin.py").write_text(_BACKEND)
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
        *("--no-build-isolation", "--no-binary", "tensorzero", "--dest", str(home)),
        *("--requirement", str(PINS / "tensorzero-source.pin")),
        environment={"PYTHONPATH": str(backend)},
    )


async def make_tables(home: Path, url: str) -> None:
    """Make the tables in an empty database.

    Args:
        home: Has the source archive.
        url: Of the database.
    """
    connection = await asyncpg.connect(url)
    try:
        for table in _TABLES.values():
            await connection.execute(f"CREATE TABLE {table} ({_COLUMNS})")
        for table, path, script in _migrations(home):
            if _LEFT_OUT not in path.name:
                await connection.execute(script)
            version, _, description = path.stem.partition("_")
            checksum = hashlib.sha384(script.encode()).digest()
            note = f"INSERT INTO {table} VALUES ($1, $2, now(), true, $3, 0)"
            await connection.execute(note, int(version), description, checksum)
    finally:
        await connection.close()


def _migrations(home: Path) -> Iterator[tuple[str, PurePosixPath, str]]:
    """Yield where each is noted, its path in the archive, and its SQL."""
    with tarfile.open(next(home.glob("*.tar.gz"))) as archive:
        for name in sorted(archive.getnames()):
            path = PurePosixPath(name)
            if path.parent.name != "migrations" or path.suffix != ".sql":
                continue
            file = archive.extractfile(name)
            assert file is not None
            yield _TABLES[path.parts[1]], path, file.read().decode()
