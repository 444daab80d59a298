"""Ten thousand calls while workers and writers die, the store is away, and the disk is full.

Each call that was answered is a row, once; what there was no room for has lost its bodies alone.
The rows are read by what knows Delta from its specification and has nothing of the product.
"""

import io
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from tests.data_plane.tables.test_delta import WORKER, kill_worker, python, write_command
from tests.data_plane.tables.test_object_store import variables
from tests.emulators.amazon_s3_store import S3Store
from tests.emulators.emulator import running_in_thread

CALLS = 10_000
# The disk is full for as long as a file says so: it has no room for a segment with bodies.
FULL_WORKER = (
    """
import errno, os, pathlib, sys
reserve = os.posix_fallocate
full = pathlib.Path(sys.argv[1]).parent / "full"
def fallocate(descriptor, offset, size):
    if full.exists() and not offset and size < 1 << 20:
        raise OSError(errno.ENOSPC, "No space left on device")
    reserve(descriptor, offset, size)
os.posix_fallocate = fallocate
"""
    + WORKER
)


class Weather:
    """What goes wrong around workers."""

    def __init__(self, store: S3Store, payloads: Path) -> None:
        self._store = store
        self._payloads = payloads
        self._full = payloads.parent / "full"
        self.writer = self._start()

    def change(self, chance: random.Random) -> None:
        """Let a writer die, the store come or go, or the disk become full or have room."""
        if chance.random() < 0.5:
            self.writer.kill()
            self.writer.wait()
            self.writer = self._start()
        self._store.is_away = chance.random() < 0.4
        if chance.random() < 0.4:
            self._full.touch()
        else:
            self._full.unlink(missing_ok=True)

    def clear(self) -> None:
        """Let all be well, until everything is written."""
        self._store.is_away = False
        self._full.unlink(missing_ok=True)
        self.writer.kill()
        self.writer.wait()
        self.writer = self._start()
        until = time.monotonic() + 300
        while any(self._payloads.rglob("*.z")) or len(list(self._payloads.iterdir())) > 1:
            assert time.monotonic() < until, sorted(self._payloads.rglob("*"))
            assert self.writer.poll() is None
            time.sleep(0.2)
        self.writer.send_signal(signal.SIGTERM)
        assert self.writer.wait() == 0

    def _start(self) -> subprocess.Popen[bytes]:
        command = write_command(self._payloads, "s3://data/tables")
        return subprocess.Popen(command, env=variables(self._store))


def active_files(objects: Mapping[str, bytes], table: str) -> Iterator[str]:
    """Yield the files of a table, by its log: https://github.com/delta-io/delta PROTOCOL.md."""
    log = f"{table}/_delta_log/"
    files: dict[str, None] = {}
    versions = sorted(name for name in objects if name.startswith(log) and name.endswith(".json"))
    assert [int(Path(name).stem) for name in versions] == list(range(len(versions)))
    for version in versions:
        for line in objects[version].splitlines():
            action = json.loads(line)
            if "add" in action:
                files[unquote(action["add"]["path"])] = None
            elif "remove" in action:
                files.pop(unquote(action["remove"]["path"]), None)
    return (f"{table}/{path}" for path in files)


def rows_of(store: S3Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in ("t0", "t1"):
        for file in active_files(store.objects, f"data/tables/main/logs/{name}_payload"):
            rows += pq.ParquetFile(io.BytesIO(store.objects[file])).read().to_pylist()
    return rows


@pytest.mark.long
def test_each_call_is_a_row_once_whatever_breaks(tmp_path: Path) -> None:
    chance = random.Random()
    payloads = tmp_path / "payloads"
    payloads.mkdir()
    answered: set[str] = set()
    killed = 0
    with running_in_thread(S3Store) as store:
        weather = Weather(store, payloads)
        try:
            while len(answered) < CALLS:
                first = killed * 1_000_000
                answered |= kill_worker(
                    payloads, first, chance.uniform(0.2, 1.0), python(FULL_WORKER)
                )
                killed += 1
                weather.change(chance)
            weather.clear()
        finally:
            weather.writer.kill()
            weather.writer.wait()
        rows = rows_of(store)
    ids = [row["databricks_request_id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert answered <= set(ids)
    # Each worker may have died between a row and the word of it.
    assert len(ids) - len(answered) <= killed
    bare = [row for row in rows if row["request"] is None]
    assert bare
    assert {tuple(row["logging_error_codes"]) for row in bare} == {("PAYLOAD_DROPPED",)}
    whole = [row for row in rows if row["request"] is not None]
    assert {(row["request"], row["response"]) for row in whole} == {("q" * 300, "a")}
