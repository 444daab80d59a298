"""Models are fetched once, whole or not at all, and kept while there is room."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.launcher.artifacts.cache import Artifacts, FetchFailed, Progress

MLMODEL = b"flavors: {}\n"
DIGEST = hashlib.sha256(MLMODEL).hexdigest()


def model(name: str, **others: str) -> ModelSource:
    fields = {"registry": "directory", "name": name, "version": "1", "digest": DIGEST}
    return ModelSource(**(fields | others))


class Registry:
    """Writes a model of some bytes; a test lets it fail or wait."""

    def __init__(self) -> None:
        self.downloads: list[str] = []
        self.at_once = self.most_at_once = 0
        self.size = 1000
        self.before: Callable[[ModelSource], None] = lambda _: None
        self.gate = asyncio.Event()
        self.gate.set()

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        self.downloads.append(source.name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            (into / "MLmodel").write_bytes(MLMODEL)
            progress(len(MLMODEL), self.size)
            await self.gate.wait()
            self.before(source)
            (into / "data").mkdir(mode=0o700)
            (into / "data" / "model.pkl").write_bytes(bytes(self.size))
            progress(self.size, self.size)
        finally:
            self.at_once -= 1


def nothing(done: int, total: int) -> None:
    del done, total


def kept(folder: Path) -> list[Path]:
    return list((folder / "models").iterdir())


def open_cache(folder: Path, registry: Registry, room: int = 1 << 20) -> Artifacts:
    return Artifacts(folder / "models", room, registry.download)


async def test_a_model_is_fetched_once_also_by_many_at_a_time(tmp_path: Path) -> None:
    registry = Registry()
    cache = open_cache(tmp_path, registry)
    found = await asyncio.gather(*(cache.hold(model("iris"), nothing) for _ in range(5)))
    assert len({held.files for held in found}) == 1
    assert (found[0].files / "data" / "model.pkl").stat().st_mode & 0o777 == 0o644
    assert (found[0].files / "data").stat().st_mode & 0o777 == 0o755
    # Also by the next launcher.
    await open_cache(tmp_path, registry).hold(model("iris"), nothing)
    assert registry.downloads == ["iris"]


async def test_who_gives_up_just_when_all_is_there_leaves_it_to_the_next(tmp_path: Path) -> None:
    registry = Registry()
    cache = open_cache(tmp_path, registry)
    first = asyncio.create_task(cache.hold(model("iris"), nothing))
    while not any("." not in path.name for path in kept(tmp_path)):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    held = await cache.hold(model("iris"), nothing)
    assert (held.files / "data" / "model.pkl").exists()
    assert registry.downloads == ["iris"]


async def test_versions_that_share_the_mlmodel_file_are_two(tmp_path: Path) -> None:
    registry = Registry()
    cache = open_cache(tmp_path, registry)
    first = await cache.hold(model("iris"), nothing)
    second = await cache.hold(model("iris", version="2"), nothing)
    assert first.files != second.files


async def test_two_are_fetched_at_a_time(tmp_path: Path) -> None:
    registry = Registry()
    registry.gate.clear()
    cache = open_cache(tmp_path, registry)
    fetching = [asyncio.create_task(cache.hold(model(str(n)), nothing)) for n in range(6)]
    while registry.at_once < 2:
        await asyncio.sleep(0)
    registry.gate.set()
    await asyncio.gather(*fetching)
    assert registry.most_at_once == 2


async def test_a_download_that_was_cut_off_is_never_used(tmp_path: Path) -> None:
    registry = Registry()
    registry.gate.clear()
    cache = open_cache(tmp_path, registry)
    fetching = asyncio.create_task(cache.hold(model("iris"), nothing))
    while registry.at_once < 1:
        await asyncio.sleep(0)
    [partial] = kept(tmp_path)
    assert (partial / "MLmodel").exists()
    # As a launcher that was killed leaves it.
    registry.gate.set()
    other = Artifacts(tmp_path / "models", 1 << 20, registry.download)
    assert kept(tmp_path) == []
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    assert kept(tmp_path) == []
    held = await other.hold(model("iris"), nothing)
    assert (held.files / "data" / "model.pkl").exists()


async def test_files_of_another_digest_are_refused(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, Registry())
    with pytest.raises(FetchFailed, match="not those that were there"):
        await cache.hold(model("iris", digest="0" * 64), nothing)
    assert kept(tmp_path) == []


async def test_what_was_not_used_for_longest_goes_first_and_what_is_used_stays(
    tmp_path: Path,
) -> None:
    registry = Registry()
    cache = open_cache(tmp_path, registry, room=2500)
    held = {}
    for number, name in enumerate("abc"):
        held[name] = await cache.hold(model(name), nothing)
        os.utime(held[name].files, (number, number))
    held["b"].release()
    held["c"].release()
    held["d"] = await cache.hold(model("d"), nothing)
    held["d"].release()
    await cache.hold(model("e"), nothing)
    assert held["a"].files.exists()
    assert not held["b"].files.exists()
    assert held["c"].files.exists()
    assert held["d"].files.exists()


def full(_: ModelSource) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    registry = Registry()
    registry.before = full
    cache = open_cache(tmp_path, registry)
    with pytest.raises(FetchFailed, match="disk has no room"):
        await cache.hold(model("iris"), nothing)
    assert kept(tmp_path) == []
    registry.before = lambda _: None
    await cache.hold(model("iris"), nothing)


async def test_a_full_disk_is_first_freed_of_what_nothing_uses(tmp_path: Path) -> None:
    registry = Registry()
    cache = open_cache(tmp_path, registry)
    old = await cache.hold(model("old"), nothing)
    old.release()

    def full_while_it_is_there(_: ModelSource) -> None:
        if old.files.exists():
            full(_)

    registry.before = full_while_it_is_there
    held = await cache.hold(model("new"), nothing)
    assert held.files.exists()
    assert not old.files.exists()
