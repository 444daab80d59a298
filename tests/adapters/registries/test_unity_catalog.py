"""Versions of an open-source Unity Catalog server, and their files in folders and in S3."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelplane.adapters.registries.base import (
    MAX_MLMODEL_BYTES,
    ModelNotFound,
    ModelUnusable,
    Registry,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    digest_of,
)
from modelplane.adapters.registries.kinds import open_registry, parse_place
from tests.emulators.amazon_s3 import S3Emulator
from tests.emulators.unity_catalog import UnityCatalogEmulator

NAME = "main.ml.iris"
MLMODEL = b"flavors: {python_function: {}}"
LOCATION = "s3://models/uc/versions/1"


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[UnityCatalogEmulator]:
    """Give a server with versions of a model in S3, in a folder, and in other stores."""
    folder = tmp_path / "a store" / "1"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_bytes(MLMODEL)
    (folder / "code" / "a.py").write_bytes(b"x = 1")
    async with UnityCatalogEmulator() as emulator:
        emulator.versions[NAME] = {
            1: (LOCATION, "READY"),
            2: (folder.as_uri(), "READY"),
            3: (LOCATION, "PENDING_REGISTRATION"),
            4: (LOCATION, "FAILED_REGISTRATION"),
            5: ("abfss://container@account.dfs.core.windows.net/models/5", "READY"),
        }
        yield emulator


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Emulator]:
    async with S3Emulator() as emulator:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", emulator.origin)
        prefix = LOCATION.removeprefix("s3://")
        emulator.objects = {
            f"{prefix}/": b"",
            f"{prefix}/MLmodel": MLMODEL,
            f"{prefix}/code/deep/a b.py": b"x = 1",
            f"{prefix}/code/deep/": b"",
            f"{prefix}0/MLmodel": b"of another version",
        }
        yield emulator


def opened(catalog: UnityCatalogEmulator, credential: str = "") -> Registry:
    place = parse_place(f"unity-catalog:{catalog.origin}", credential)
    assert place
    return open_registry(place)


def nothing(_done: int, _total: int) -> None:
    """Take no note."""


async def test_files_in_s3(catalog: UnityCatalogEmulator, s3: S3Emulator, tmp_path: Path) -> None:
    registry, into = opened(catalog), tmp_path / "into"
    source = await registry.version(NAME, "1")
    assert (source.registry, source.uri) == ("unity-catalog", catalog.origin)
    assert (source.name, source.version, source.location) == (NAME, "1", LOCATION)
    source.digest = digest_of(await registry.read_mlmodel(source))
    told: list[tuple[int, int]] = []
    await registry.download(source, into, lambda done, total: told.append((done, total)))
    files = {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()}
    assert files == {"MLmodel", "code/deep/a b.py"}
    assert (into / "code" / "deep" / "a b.py").read_bytes() == b"x = 1"
    assert told[-1] == (len(MLMODEL) + 5, len(MLMODEL) + 5)
    # Only what S3 is asked is signed with the key that the registry gave.
    assert all(
        "AWS4" not in request.headers.get("Authorization", "") for request in catalog.requests
    )
    assert len(s3.requests) >= 4


async def test_files_in_a_folder_beside_the_server(
    catalog: UnityCatalogEmulator, tmp_path: Path
) -> None:
    registry, into = opened(catalog), tmp_path / "into"
    into.mkdir()
    source = await registry.version(NAME, "2")
    source.digest = digest_of(await registry.read_mlmodel(source))
    await registry.download(source, into, nothing)
    assert (into / "code" / "a.py").read_bytes() == b"x = 1"


async def test_a_folder_of_another_machine_is_not_read(catalog: UnityCatalogEmulator) -> None:
    source = await opened(catalog).version(NAME, "2")
    place = parse_place("unity-catalog:http://catalog.example:8080")
    assert place
    with pytest.raises(ModelUnusable, match=r"in a store \(file\)"):
        await open_registry(place).read_mlmodel(source)


async def test_the_token_goes_with_each_call(catalog: UnityCatalogEmulator, s3: S3Emulator) -> None:
    catalog.token = "abc"
    registry = opened(catalog, "bearer abc")
    assert await registry.read_mlmodel(await registry.version(NAME, "1")) == MLMODEL
    with pytest.raises(RegistryRefused, match="MODELPLANE_REGISTRY_AUTHORIZATION"):
        await opened(catalog, "bearer wrong").version(NAME, "1")
    assert all("abc" not in request.headers.get("Authorization", "") for request in s3.requests)


@pytest.mark.parametrize(
    ("name", "version", "error", "message"),
    [
        ("main.ml.nope", "1", ModelNotFound, "Registered model not found: main.ml.nope"),
        (NAME, "9", ModelNotFound, "Model version not found: main.ml.iris/9"),
        (NAME, "latest", ModelNotFound, "those of Unity Catalog are numbers"),
        (NAME, "1" * 30, ModelNotFound, "those of Unity Catalog are numbers"),
        (NAME, "@champion", ModelUnusable, "has none; name the version by its number"),
        (NAME, "3", ModelUnusable, "is PENDING_REGISTRATION; wait until it is READY"),
        (NAME, "4", ModelUnusable, "is FAILED_REGISTRATION"),
        (NAME, "5", ModelUnusable, r"in a store \(abfss\)"),
        ("iris", "1", ModelNotFound, "three parts, CATALOG.SCHEMA.MODEL"),
        ("a.b.c.d", "1", ModelNotFound, "three parts, CATALOG.SCHEMA.MODEL"),
        ("a..c", "1", ModelNotFound, "three parts, CATALOG.SCHEMA.MODEL"),
    ],
)
async def test_what_it_does_not_have(
    catalog: UnityCatalogEmulator,
    name: str,
    version: str,
    error: type[RegistryError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        await opened(catalog).version(name, version)


async def test_names_are_escaped(catalog: UnityCatalogEmulator) -> None:
    with pytest.raises(ModelNotFound, match=r"not found: main\.ml\.a%2F"):
        await opened(catalog).version("main.ml.a%2F?x=1#", "1")


async def test_a_bucket_that_the_server_has_no_key_of(
    catalog: UnityCatalogEmulator, s3: S3Emulator
) -> None:
    registry = opened(catalog)
    source = await registry.version(NAME, "1")
    catalog.vends = False
    with pytest.raises(RegistryUnavailable, match="status 400: S3 bucket configuration not found"):
        await registry.read_mlmodel(source)
    assert s3.requests == []


async def test_models_in_s3_that_are_none(
    catalog: UnityCatalogEmulator, s3: S3Emulator, tmp_path: Path
) -> None:
    registry, key = opened(catalog), f"{LOCATION.removeprefix('s3://')}/MLmodel"
    source = await registry.version(NAME, "1")
    source.digest = digest_of(MLMODEL)
    s3.objects[key] = b"x" * (MAX_MLMODEL_BYTES + 1)
    with pytest.raises(ModelUnusable, match="longer than"):
        await registry.read_mlmodel(source)
    with pytest.raises(ModelUnusable, match="no longer those"):
        await registry.download(source, tmp_path, nothing)
    del s3.objects[key]
    with pytest.raises(ModelUnusable, match="has no MLmodel file"):
        await registry.read_mlmodel(source)


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a//b", "a\\b"])
async def test_files_that_lead_elsewhere(
    catalog: UnityCatalogEmulator, s3: S3Emulator, tmp_path: Path, key: str
) -> None:
    registry = opened(catalog)
    source = await registry.version(NAME, "1")
    s3.objects[f"{LOCATION.removeprefix('s3://')}/{key}"] = b""
    with pytest.raises(ModelUnusable, match="name cannot be used"):
        await registry.download(source, tmp_path, nothing)


async def test_s3_that_breaks_off_refuses_or_is_away(
    catalog: UnityCatalogEmulator,
    s3: S3Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = opened(catalog)
    source = await registry.version(NAME, "1")
    s3.cut = True
    with pytest.raises(RegistryUnavailable, match="cannot be fetched from S3"):
        await registry.download(source, tmp_path, nothing)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(RegistryUnavailable, match="InvalidAccessKeyId"):
        await registry.read_mlmodel(source)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable, match="cannot be fetched from S3"):
        await registry.read_mlmodel(source)


async def test_an_address_that_is_none() -> None:
    with pytest.raises(ValueError, match="Unity Catalog server begins with"):
        parse_place("unity-catalog:127.0.0.1:8080")
