"""Models are converted once, in an environment of their own; llama.cpp answers as transformers."""

import asyncio
import base64
import hashlib
import json
import math
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.shared.settings import environment
from modelplane.launcher.conversions.cache import Conversions, Options
from modelplane.launcher.conversions.folder import ModelUnfit
from modelplane.launcher.environments.cache import Environments
from modelplane.launcher.environments.cache import Options as EnvironmentOptions
from modelplane.launcher.local.builds import BuildUsers
from modelplane.launcher.local.users import Users, can_change_users
from tests.hosting.replica import serving_with
from tests.launcher.converter import tiny

HERE = Path(__file__).parent
ASK = HERE.parent / "converter" / "ask.py"
EXPECTED = json.loads((HERE.parent / "converter" / "expected.json").read_text())
USERS = range(60646, 60648)
FETCHER = 60648


class Machine:
    """A launcher's folders, and a registry that is a folder, too."""

    def __init__(self, root: Path) -> None:
        self.registry = root / "registry"
        self.log: list[str] = []
        self.progress: list[tuple[int, int]] = []
        sandbox = BuildUsers(Users(USERS), FETCHER) if can_change_users() else None
        options = EnvironmentOptions(environment(), shared=bool(sandbox), sandbox=sandbox)
        self._environments = Environments(root / "environments", options)
        self.folder = root / "conversions"
        self._options = Options(1 << 30, sandbox=sandbox)
        self.conversions = self.opened()

    def opened(self) -> Conversions:
        """Return the conversions, as after a start of the launcher."""
        return Conversions(self.folder, self._environments, self._options)

    async def convert(self, name: str) -> Path:
        """Return the file of a converted model."""
        digest = hashlib.sha256((self.registry / name / "MLmodel").read_bytes()).hexdigest()
        source = ModelSource(registry="directory", name=name, version="1", digest=digest)
        files = self.registry / name
        held = await self.conversions.hold(source, files, self._note, self.log.append)
        held.release()
        return held.files / "model.gguf"

    def _note(self, done: int, total: int) -> None:
        self.progress.append((done, total))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as name:
        # Others than its owner run what is in it.
        Path(name).chmod(0o755)
        yield Machine(Path(name))


async def ask(file: Path, *questions: tuple[str, Mapping[str, Any]]) -> list[Any]:
    """Return what llama.cpp answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ASK), str(file), json.dumps(questions)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, failed = await process.communicate()
    assert process.returncode == 0, failed.decode()[-2000:]
    return list(json.loads(said.splitlines()[-1]))


@pytest.mark.parametrize("name", tiny.MODELS)
async def test_a_converted_model_scores_tokens_as_transformers_does(
    machine: Machine, name: str
) -> None:
    tiny.write_causal(machine.registry / name, tiny.config_of(name))
    expected = EXPECTED[name]
    body = {"prompt": expected["ids"], "n_predict": 1, "n_probs": 30, "temperature": 0}
    tokens, answer = await ask(
        await machine.convert(name), ("/tokenize", {"content": tiny.TEXT}), ("/completion", body)
    )
    assert tokens["tokens"] == expected["ids"]
    found = {
        str(one["id"]): one["logprob"]
        for one in answer["completion_probabilities"][0]["top_logprobs"]
    }
    for token, score in expected["logprobs"].items():
        assert found[token] == pytest.approx(score, abs=0.02)
    assert machine.progress[-1][0] == machine.progress[-1][1] > 0


@pytest.mark.parametrize("pooling", ["cls", "mean"])
async def test_a_converted_model_makes_the_vectors_that_transformers_makes(
    machine: Machine, pooling: str
) -> None:
    # As MLflow itself does it, where the model says nothing.
    said = pooling if pooling == "mean" else ""
    tiny.write_bert(machine.registry / f"bert-{pooling}", pooling=said)
    tokens, answer = await ask(
        await machine.convert(f"bert-{pooling}"),
        ("/tokenize", {"content": tiny.SENTENCE, "add_special": True}),
        ("/v1/embeddings", {"input": tiny.SENTENCE}),
    )
    assert tokens["tokens"] == EXPECTED["bert"]["ids"]
    assert cosine(answer["data"][0]["embedding"], EXPECTED["bert"][pooling]) > 0.9999


@pytest.mark.parametrize("options", [(), ("--unnormalized",)], ids=["normalized", "as it is"])
async def test_a_replicas_vectors_are_the_engines_own(
    machine: Machine, tmp_path: Path, options: tuple[str, ...]
) -> None:
    tiny.write_bert(machine.registry / f"served-{len(options)}", pooling="mean")
    file = await machine.convert(f"served-{len(options)}")
    told = {"engine": "llama_cpp", "task": "llm/v1/embeddings", "name": "bert", "concurrency": "2"}
    given = [word for name, value in told.items() for word in (f"--{name}", value)]
    given += ["--context-tokens", "64", *options]
    texts = ["a cat sat", "on mat."]
    with serving_with(Path(sys.executable), file, tmp_path, *given) as replica:
        asked = {"input": texts, "instruction": "sat on"}
        answer: Any = replica.ask(asked).json
        packed: Any = replica.ask(asked | {"encoding_format": "base64"}).json
        long = replica.ask({"input": "cat " * 100})
        empty = replica.ask({"input": []})
    # An instruction is put before each text, and nothing else is changed.
    [own] = await ask(file, ("/v1/embeddings", {"input": [f"sat on {text}" for text in texts]}))
    vectors = [one["embedding"] for one in answer["data"]]
    for vector, one, binary in zip(vectors, own["data"], packed["data"], strict=True):
        if options:
            assert math.hypot(*vector) != pytest.approx(1, abs=0.01)
            assert cosine(vector, one["embedding"]) == pytest.approx(1)
        else:
            assert vector == pytest.approx(one["embedding"], abs=1e-6)
            assert math.hypot(*vector) == pytest.approx(1)
        raw = base64.b64decode(binary["embedding"])
        assert struct.unpack(f"<{len(vector)}f", raw) == pytest.approx(vector, abs=1e-6)
    assert answer["usage"] == own["usage"]
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert {**answer, "data": 0, "model": 0} == {**own, "data": 0, "model": 0}
    assert (long.status, empty.status) == (400, 400)
    assert "context window holds 64" in str(long.json["message"])


async def test_a_model_is_converted_once(machine: Machine) -> None:
    tiny.write_causal(machine.registry / "once", tiny.config_of("qwen2"))
    before = machine.log.count("Converting the model's weights for llama.cpp.")
    first, second = await asyncio.gather(machine.convert("once"), machine.convert("once"))
    assert first == second
    content = first.read_bytes()
    machine.conversions = machine.opened()
    assert await machine.convert("once") == first
    assert machine.log.count("Converting the model's weights for llama.cpp.") == before + 1
    assert first.read_bytes() == content
    assert sorted(path.name for path in first.parent.iterdir()) == ["MLmodel", "model.gguf"]


async def test_what_another_release_has_converted_is_converted_anew(machine: Machine) -> None:
    old = machine.folder / "0123456789abcdef"
    old.mkdir()
    machine.opened()
    assert not old.exists()


def spoil_weights(folder: Path) -> None:
    file = folder / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickle_weights(folder: Path) -> None:
    (folder / "model" / "model.safetensors").rename(folder / "model" / "pytorch_model.bin")


def drop_template(folder: Path) -> None:
    (folder / "components" / "tokenizer" / "chat_template.jinja").unlink()


def drop_tokenizer(folder: Path) -> None:
    (folder / "components" / "tokenizer" / "tokenizer.json").unlink()


def cut_otherwise(folder: Path) -> None:
    path = folder / "components" / "tokenizer" / "tokenizer.json"
    described = json.loads(path.read_text())
    described["pre_tokenizer"] = {"type": "Whitespace"}
    path.write_text(json.dumps(described))


def reconfigure(**fields: Any) -> Any:
    def spoil(folder: Path) -> None:
        path = folder / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("cut-off", spoil_weights, "model.safetensors is cut off"),
        ("pickled", pickle_weights, "safe_serialization=True"),
        ("no-template", drop_template, "no chat template"),
        ("no-tokenizer", drop_tokenizer, "tokenizer.json"),
        ("otherwise", cut_otherwise, "Whitespace"),
        ("mamba", reconfigure(architectures=["MambaForCausalLM"]), "MambaForCausalLM"),
        ("quantized", reconfigure(quantization_config={"bits": 4}), "quantized"),
        ("yarn", reconfigure(rope_parameters={"rope_type": "yarn"}), "yarn"),
        ("hidden", reconfigure(hidden_size="x"), "not as transformers writes them"),
    ],
)
async def test_what_cannot_be_converted_is_said_in_words(
    machine: Machine, name: str, spoil: Any, told: str
) -> None:
    folder = tiny.write_causal(machine.registry / name, tiny.config_of("llama"))
    spoil(folder)
    with pytest.raises(ModelUnfit, match=told):
        await machine.convert(name)
    # It can be tried again, and nothing is left of it.
    assert not list(machine.folder.glob("*/.partial-*"))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.hypot(*one) / math.hypot(*other)
