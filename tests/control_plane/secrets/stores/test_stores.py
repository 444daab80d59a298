"""Every store does the same: what is there is read, what is not is left out, trouble is said."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from modelplane.control_plane.secrets.stores.base import SecretStore, StoreAway
from modelplane.control_plane.secrets.stores.declarations import opened_stores
from tests.emulators.amazon_bedrock.signature import KEY
from tests.emulators.amazon_json import REGION, environment
from tests.emulators.amazon_secrets_manager import SecretsManagerEmulator
from tests.emulators.hashicorp_vault import TOKEN, VaultEmulator


class Place(ABC):
    """A place that keeps secrets, as its owner sees it."""

    def __init__(self, declaration: Mapping[str, str]) -> None:
        self.declaration = declaration
        self.environ: dict[str, str] = {}

    @abstractmethod
    def put(self, key: str, value: str) -> None: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    def go_away(self) -> None:
        """Stop answering, where the store can."""
        raise NotImplementedError


class Environment(Place):
    def __init__(self) -> None:
        super().__init__({"backend": "ENVIRONMENT", "prefix": "MY_"})
        self.environ = {"MY_": "not a key", "OTHER": "not mine"}

    def put(self, key: str, value: str) -> None:
        self.environ[f"MY_{key}"] = value

    def delete(self, key: str) -> None:
        del self.environ[f"MY_{key}"]


class Files(Place):
    """A directory as Kubernetes mounts it, where all files change at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__({"backend": "FILES", "directory": str(directory)})
        self._directory = directory
        self._versions = 0
        self._files: dict[str, str] = {}
        (directory.parent / "private").write_text("not mine")
        directory.mkdir()
        self._mount()

    def put(self, key: str, value: str) -> None:
        self._files[key] = value
        self._mount()

    def delete(self, key: str) -> None:
        del self._files[key]
        (self._directory / key).unlink()
        self._mount()

    def go_away(self) -> None:
        self._directory.rename(self._directory.with_name("gone"))

    def _mount(self) -> None:
        self._versions += 1
        version = self._directory / f"..version-{self._versions}"
        version.mkdir()
        for key, value in self._files.items():
            (version / key).write_text(value + "\n")
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")
        for key in self._files:
            visible = self._directory / key
            if not visible.is_symlink():
                visible.symlink_to(Path("..data") / key)


class SecretsManager(Place):
    def __init__(self, emulator: SecretsManagerEmulator) -> None:
        declared = {"backend": "AWS_SECRETS_MANAGER", "region": REGION, "prefix": "mp/"}
        super().__init__(declared)
        self._emulator = emulator
        emulator.secrets.update({"mine": "not declared", "MP/other": "not declared"})

    def put(self, key: str, value: str) -> None:
        self._emulator.secrets[f"mp/{key}"] = value

    def delete(self, key: str) -> None:
        self._emulator.secrets[f"mp/{key}"] = None

    def go_away(self) -> None:
        self._emulator.refused = "AccessDeniedException"


class Vault(Place):
    def __init__(self, emulator: VaultEmulator, token_file: Path) -> None:
        token_file.write_text(TOKEN + "\n")
        super().__init__(
            {
                "backend": "HASHICORP_VAULT",
                "address": emulator.origin,
                "path": "team/models",
                "token_file": str(token_file),
            }
        )
        self._emulator = emulator
        self._fields: dict[str, str] = {}
        emulator.secrets["team/other"] = {"other": "not declared"}

    def put(self, key: str, value: str) -> None:
        self._fields[key] = value
        self._emulator.secrets["team/models"] = dict(self._fields)

    def delete(self, key: str) -> None:
        del self._fields[key]
        self._emulator.secrets["team/models"] = dict(self._fields)

    def go_away(self) -> None:
        self._emulator.sealed = True


@pytest.fixture
async def vault() -> AsyncIterator[VaultEmulator]:
    async with VaultEmulator() as emulator:
        yield emulator


@pytest.fixture
async def manager(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SecretsManagerEmulator]:
    async with SecretsManagerEmulator() as emulator:
        for name, value in environment("SECRETS_MANAGER", emulator.origin).items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture(params=["environment", "files", "manager", "vault"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "environment":
            return Environment()
        case "files":
            return Files(tmp_path / "mounted")
        case "manager":
            return SecretsManager(request.getfixturevalue("manager"))
        case _:
            return Vault(request.getfixturevalue("vault"), tmp_path / "token")


@pytest.fixture
async def store(place: Place) -> AsyncIterator[SecretStore]:
    text = json.dumps({"mine": place.declaration})
    async with opened_stores(text, place.environ) as stores:
        yield stores["mine"]


async def test_what_is_there_is_read_and_followed(place: Place, store: SecretStore) -> None:
    assert store.backend == place.declaration["backend"]
    assert await store.read(["a"]) == {}
    assert await store.list_keys() == []
    for key in ("a", "b", "c"):
        place.put(key, f"value of {key}")
    assert sorted(await store.list_keys()) == ["a", "b", "c"]
    assert await store.read(["a", "c", "none"]) == {"a": b"value of a", "c": b"value of c"}
    place.put("a", "new value of a")
    assert await store.read(["a"]) == {"a": b"new value of a"}
    place.delete("a")
    assert await store.read(["a", "b"]) == {"b": b"value of b"}


@pytest.mark.parametrize("key", ["..", ".", "..data", "../private", "private", "other", "mine"])
async def test_what_was_not_declared_is_not_reached(
    place: Place, store: SecretStore, key: str
) -> None:
    place.put("a", "value")
    assert await store.read([key]) == {}


@pytest.mark.parametrize("place", ["files", "manager", "vault"], indirect=True)
async def test_a_store_that_is_away_says_so_and_not_that_nothing_is_there(
    place: Place, store: SecretStore
) -> None:
    place.put("a", "value of a")
    place.go_away()
    async with asyncio.timeout(60):
        for call in (store.read(["a"]), store.list_keys()):
            with pytest.raises(StoreAway) as error:
                await call
            assert "value" not in str(error.value)


async def test_binary_secrets_of_aws_are_read(manager: SecretsManagerEmulator) -> None:
    manager.secrets["key"] = b"\x00\xff"
    declared = {"mine": {"backend": "AWS_SECRETS_MANAGER", "region": REGION}}
    async with opened_stores(json.dumps(declared), {}) as stores:
        assert await stores["mine"].read(["key"]) == {"key": b"\x00\xff"}


async def test_aws_refuses_another_identity(
    manager: SecretsManagerEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * len(KEY.secret))
    manager.secrets["key"] = "value"
    declared = {"mine": {"backend": "AWS_SECRETS_MANAGER", "region": REGION}}
    async with opened_stores(json.dumps(declared), {}) as stores:
        with pytest.raises(StoreAway, match="InvalidSignatureException"):
            await stores["mine"].read(["key"])


async def test_a_token_of_vault_is_read_again_and_a_deleted_version_is_gone(
    vault: VaultEmulator, tmp_path: Path
) -> None:
    place = Vault(vault, tmp_path / "token")
    async with opened_stores(json.dumps({"mine": place.declaration}), {}) as stores:
        place.put("a", "value")
        vault.token = "hvs.renewed"
        with pytest.raises(StoreAway, match="Forbidden"):
            await stores["mine"].read(["a"])
        (tmp_path / "token").write_text("hvs.renewed")
        assert await stores["mine"].read(["a"]) == {"a": b"value"}
        vault.secrets["team/models"] = None
        assert await stores["mine"].read(["a"]) == {}
        (tmp_path / "token").unlink()
        with pytest.raises(StoreAway):
            await stores["mine"].read(["a"])


async def test_nobody_listens(tmp_path: Path) -> None:
    async with VaultEmulator() as emulator:
        place = Vault(emulator, tmp_path / "token")
    async with opened_stores(json.dumps({"mine": place.declaration}), {}) as stores:
        with pytest.raises(StoreAway, match="ConnectionError"):
            await stores["mine"].read(["a"])
