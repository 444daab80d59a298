"""A logged model of transformers becomes a replica that chats, and says how far it is meanwhile."""

import asyncio
import hashlib
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

import modelplane.launcher
from modelplane.adapters.registries.foundation_model import FoundationModel
from modelplane.adapters.registries.mlmodel import parse_mlmodel
from modelplane.adapters.registries.weights import Weights
from modelplane.launcher.engines.base import Environment, Log
from modelplane.launcher.engines.llama_cpp import LlamaCpp
from modelplane.launcher.local.users import Users
from modelplane.launcher.supplies import Supplies
from tests.launcher.converter import tiny
from tests.launcher.environments.packages import write_wheel
from tests.launcher.groups import MIB, group, machine
from tests.launcher.groups import build as found

SERVER = Path(modelplane.launcher.__path__[0]) / "model_server" / "serve.py"


@pytest.fixture(scope="module")
def supplies() -> Iterator[Supplies]:
    with tempfile.TemporaryDirectory() as name:
        yield Supplies(Path(name), Users(()), 0, 1 << 30)


def chat(replica: pb.ReplicaReport, **body: Any) -> Any:
    request = urllib.request.Request(
        f"http://{replica.address}/invocations",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {replica.token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def chatting(registry: Path, name: str, config: dict[str, Any]) -> pb.GroupSpec:
    tiny.write_causal(registry / name, config)
    digest = hashlib.sha256((registry / name / "MLmodel").read_bytes()).hexdigest()
    source = pb.ModelSource(registry="directory", name=name, version="1", digest=digest)
    return group(
        source,
        engine="llama_cpp",
        engine_options=pb.EngineOptions(task="llm/v1/chat", context_tokens=256),
        size=pb.ReplicaSize(cpus=1, memory_bytes=1024 * MIB, concurrency=2),
        start_deadline_ms=60_000,
    )


async def test_a_logged_model_is_converted_and_chats(supplies: Supplies, tmp_path: Path) -> None:
    engines = {"llama_cpp": LlamaCpp(supplies.convert)}
    async with machine(tmp_path, server=SERVER, engines=engines) as here:
        spec = chatting(here.models.folder, "tiny", tiny.config_of("llama"))
        here.run(spec)
        (replica,) = await here.until_ready(spec)
        body = {
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 3,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 2,
        }
        answer = await asyncio.to_thread(chat, replica, **body)
        assert answer["usage"]["completion_tokens"] == 3
        assert answer["usage"]["prompt_tokens"] > len("<|im_start|>userHello")
        first = answer["choices"][0]["logprobs"]["content"][0]
        assert len(first["top_logprobs"]) == 2
        log = here.log(spec, pb.LOG_KIND_BUILD)
        assert "Converting the model's weights for llama.cpp.\nWrote " in log


async def test_a_folder_of_the_catalogue_makes_embeddings_of_the_size_that_is_said(
    supplies: Supplies, tmp_path: Path
) -> None:
    logged = tiny.write_bert(tmp_path / "logged")
    weights = tmp_path / "weights"
    shutil.copytree(logged / "model", weights)
    shutil.copytree(logged / "components" / "tokenizer", weights, dirs_exist_ok=True)
    size = tiny.BERT["hidden_size"]
    model = FoundationModel(
        entity="system.ai.tiny",
        weights=f"directory:{weights}",
        task="llm/v1/embeddings",
        context_tokens=64,
        format="safetensors",
        dimensions=size,
    )
    engines = {"llama_cpp": LlamaCpp(supplies.convert)}
    async with machine(tmp_path, server=SERVER, engines=engines) as here:
        files = here.models.folder / "tiny-bert"
        files.mkdir(parents=True)
        await Weights().download(model.source, files, lambda *_: None)
        content = (files / "MLmodel").read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        options = parse_mlmodel(content).options
        assert options.dimensions == size
        spec = group(
            pb.ModelSource(registry="directory", name="tiny-bert", version="1", digest=digest),
            engine="llama_cpp",
            engine_options=options,
            size=pb.ReplicaSize(cpus=1, memory_bytes=1024 * MIB, concurrency=2),
            start_deadline_ms=60_000,
        )
        here.run(spec)
        (replica,) = await here.until_ready(spec)
        answer = await asyncio.to_thread(chat, replica, input=["a cat", "a mat"])
        assert [len(one["embedding"]) for one in answer["data"]] == [size, size]


async def test_why_an_environment_cannot_be_built_is_why_its_group_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    write_wheel(packages, "mlflow", "2.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(packages))
    own = Supplies(tmp_path / "supplies", Users(()), 0, 1 << 30)
    own.folder.mkdir()

    async def build(model: Path, log: Log) -> Environment:
        if (model / "requirements.txt").exists():
            return await own.build(model, log)
        return await found(model, log)

    async with machine(tmp_path, build=build) as here:
        neighbour, spec = group(here.models.add("iris")), group(here.models.add("broken"))
        (here.models.folder / "broken" / "requirements.txt").write_text("mlflow\nno-such==1\n")
        here.run(neighbour, spec)
        message = await here.until_failed(spec)
        reason = message.partition("\n")[0]
        assert reason == "There is no package named no-such."
        log = here.log(spec, pb.LOG_KIND_BUILD)
        assert log.rstrip().endswith(reason)
        assert "  no-such==1\n" in log
        assert here.log(spec) == ""
        await here.until_ready(neighbour)


async def test_why_a_model_cannot_be_converted_is_why_its_group_fails(
    supplies: Supplies, tmp_path: Path
) -> None:
    engines = {"llama_cpp": LlamaCpp(supplies.convert)}
    async with machine(tmp_path, server=SERVER, engines=engines) as here:
        config = {**tiny.config_of("llama"), "architectures": ["MambaForCausalLM"]}
        spec = chatting(here.models.folder, "mamba", config)
        here.run(spec)
        message = await here.until_failed(spec)
        assert message.startswith("The architecture MambaForCausalLM cannot be converted")
        assert "external_model" in message
