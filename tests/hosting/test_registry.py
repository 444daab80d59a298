"""What a real MLflow server says of real models, and their files."""

from pathlib import Path

import orjson
import pytest

from modelplane.adapters.registries.base import ModelNotFound, Registry, digest_of
from modelplane.adapters.registries.kinds import open_registry, parse_place
from modelplane.adapters.registries.mlmodel import parse_mlmodel

A, B = "catalog.schema.model-A", "catalog.schema.model-B"


@pytest.fixture
def registry(mlflow_server: str) -> Registry:
    place = parse_place(f"mlflow:{mlflow_server}")
    assert place
    return open_registry(place)


@pytest.mark.parametrize(("asked", "version"), [("1", "1"), ("2", "2"), ("@champion", "1")])
async def test_a_version_or_an_alias(registry: Registry, asked: str, version: str) -> None:
    source = await registry.version(A, asked)
    assert (source.name, source.version) == (A, version)
    described = parse_mlmodel(await registry.read_mlmodel(source)).description
    assert orjson.loads(described.inputs)[0]["name"] == "sepal length (cm)"
    assert set(described.flavors) == {"python_function", "sklearn"}
    assert (described.mlflow_version, described.task) == ("3.17.2", "")
    assert described.size_bytes > 0


async def test_a_python_function_with_a_task_and_parameters(registry: Registry) -> None:
    model = parse_mlmodel(await registry.read_mlmodel(await registry.version(B, "1")))
    assert model.is_python_function
    assert not model.is_language_model
    assert model.description.task == "agent/v1/chat"
    assert orjson.loads(model.description.params)[0]["default"] == 0.5


async def test_all_files_are_fetched(registry: Registry, tmp_path: Path) -> None:
    source = await registry.version(B, "1")
    source.digest = digest_of(await registry.read_mlmodel(source))
    told: list[tuple[int, int]] = []
    await registry.download(source, tmp_path, lambda done, total: told.append((done, total)))
    assert (tmp_path / "code" / "package" / "deep" / "a b.py").read_bytes() == b"x = 1\n"
    assert (tmp_path / "requirements.txt").read_bytes()
    assert told[-1][0] == told[-1][1] > 0


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("catalog.schema.nope", "1", "Registered model 'catalog.schema.nope' does not exist"),
        ("catalog.schema.nope", "@champion", "Registered model 'catalog.schema.nope' does not"),
        (A, "9", f"Model '{A}' has no version 9"),
        (A, "latest", f"Model '{A}' has no version latest"),
        (A, "@nobody", f"Model '{A}' has no alias 'nobody'"),
    ],
)
async def test_what_it_does_not_have(
    registry: Registry, name: str, version: str, message: str
) -> None:
    with pytest.raises(ModelNotFound, match=message):
        await registry.version(name, version)
