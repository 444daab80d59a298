from pathlib import Path

import pytest

from modelplane.adapters.registries.base import (
    MAX_MLMODEL_BYTES,
    ModelNotFound,
    ModelUnusable,
    RegistryUnavailable,
    digest_of,
)
from modelplane.adapters.registries.directory import DirectoryRegistry

NAME = "catalog.schema.model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give version 3 of a model, which has an alias and a nested folder."""
    version = tmp_path / "models" / NAME / "3"
    (version / "code" / "deep").mkdir(parents=True)
    (version / "MLmodel").write_bytes(b"flavors: {}")
    (version / "code" / "deep" / "a b.py").write_bytes(b"x = 1")
    (version.parent / "@champion").symlink_to("3")
    return version


@pytest.fixture
def registry(folder: Path) -> DirectoryRegistry:
    return DirectoryRegistry(str(folder.parents[1]))


@pytest.mark.parametrize("asked", ["3", "@champion"])
async def test_a_version_is_found_and_copied(
    registry: DirectoryRegistry, tmp_path: Path, asked: str
) -> None:
    source = await registry.version(NAME, asked)
    assert (source.registry, source.name, source.version) == ("directory", NAME, "3")
    source.digest = digest_of(await registry.read_mlmodel(source))
    into, told = tmp_path / "into", list[tuple[int, int]]()
    into.mkdir()
    await registry.download(source, into, lambda done, total: told.append((done, total)))
    assert (into / "code" / "deep" / "a b.py").read_bytes() == b"x = 1"
    assert told[-1] == (16, 16)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("nope", "3"),
        (NAME, "4"),
        (NAME, "@nobody"),
        ("..", "models"),
        (f"../models/{NAME}", "3"),
        (NAME, "../3"),
        (NAME, "."),
        (NAME, ""),
        ("", ""),
        ("a\0b", "3"),
    ],
)
async def test_what_is_not_there_or_leads_elsewhere(
    registry: DirectoryRegistry, name: str, version: str
) -> None:
    with pytest.raises(ModelNotFound):
        await registry.version(name, version)


async def test_an_alias_that_leads_out_of_its_model(
    registry: DirectoryRegistry, folder: Path
) -> None:
    (folder.parent / "@other").symlink_to("/usr")
    with pytest.raises(ModelUnusable, match="leads to no version"):
        await registry.version(NAME, "@other")


async def test_links_out_of_the_folder_are_not_followed(
    registry: DirectoryRegistry, folder: Path, tmp_path: Path
) -> None:
    source = await registry.version(NAME, "3")
    (folder / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ModelUnusable, match="'secret' is a link to outside"):
        await registry.download(source, tmp_path, lambda _done, _total: None)
    (folder / "MLmodel").unlink()
    (folder / "MLmodel").symlink_to("/etc/passwd")
    with pytest.raises(ModelUnusable, match="'MLmodel' is a link to outside"):
        await registry.read_mlmodel(source)


async def test_files_that_have_changed_are_refused(
    registry: DirectoryRegistry, folder: Path, tmp_path: Path
) -> None:
    source = await registry.version(NAME, "3")
    source.digest = digest_of(await registry.read_mlmodel(source))
    (folder / "MLmodel").write_bytes(b"flavors: {other: 1}")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ModelUnusable, match="no longer those"):
        await registry.download(source, into, lambda _done, _total: None)


async def test_a_folder_that_is_no_model(registry: DirectoryRegistry, folder: Path) -> None:
    source = await registry.version(NAME, "3")
    (folder / "MLmodel").write_bytes(b"x" * (MAX_MLMODEL_BYTES + 1))
    with pytest.raises(ModelUnusable, match="longer than"):
        await registry.read_mlmodel(source)
    (folder / "MLmodel").unlink()
    with pytest.raises(ModelUnusable, match="has no MLmodel file"):
        await registry.read_mlmodel(source)


async def test_a_directory_that_is_not_there() -> None:
    with pytest.raises(RegistryUnavailable, match="ask the operator"):
        await DirectoryRegistry("/nowhere/at/all").version(NAME, "3")
