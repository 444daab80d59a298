"""Models that mlflow.transformers has saved, served by a real vLLM for processors.

Each answer is compared with the engine's own, which is asked on its socket. The emulator of vLLM is
asked the same, and has to answer in the same form.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System, run_system
from tests.emulators.vllm import questions
from tests.emulators.vllm.questions import CHAT, COMPLETIONS, EMBEDDINGS, Server
from tests.hosting.e2e.deployment import hosted, settled, wait_for_launcher
from tests.hosting.models.real_vllm import vllm_environment
from tests.hosting.models.transformers_models import transformers_python
from tests.launcher.converter import tiny

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]

SAVE = Path(__file__).parent / "models" / "save_language.py"
# To load takes minutes where others are at work, too.
START_SECONDS = 1_800
ENDLESS = 16_384
PROBE = "main.ml.probe"
MODELS = {
    "chat": ("llm/v1/chat", {"tool_call_parser": "hermes"}),
    "completions": ("llm/v1/completions", {}),
    "embeddings": ("llm/v1/embeddings", {"pooling": "mean"}),
}
HELLO = [{"role": "user", "content": "Hi"}]
LONG = "The cat sat on the mat, and 42 dogs did not. " * 6
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
AS_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"schema": {**SCHEMA, "additionalProperties": False}},
}


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.1)


def name_of(name: str) -> str:
    return f"main.llm.{name}"


def fill_registry(registry: Path, folder: Path) -> None:
    """Save the models as their owners do."""
    # vLLM's kernels for processors want heads of 32 numbers at least.
    heads = {"num_attention_heads": 2}
    causal = {**tiny.config_of("llama"), **heads, "num_key_value_heads": 1}
    far = {**causal, "max_position_embeddings": 2 * ENDLESS}
    sources = {
        "chat": tiny.write_causal(folder / "causal", causal),
        "completions": tiny.write_causal(folder / "far", far),
        "embeddings": tiny.write_bert(folder / "bert", {**tiny.BERT, **heads}),
    }
    probe = registry / PROBE / "1"
    probe.mkdir(parents=True)
    (probe / "MLmodel").write_text(json.dumps({"flavors": {"python_function": {}}}))
    python = transformers_python()
    for name, (task, metadata) in MODELS.items():
        told = json.dumps({"engine": "vllm", **metadata})
        path = registry / name_of(name) / "1"
        done = subprocess.run(
            [str(python), "-W", "ignore", str(SAVE), str(sources[name]), str(path), task, told],
            env={
                "PATH": f"{python.parent}:{os.defpath}",
                "HOME": str(folder),
                "HF_HUB_OFFLINE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]


@contextmanager
def deployment(folder: Path) -> Iterator[System]:
    """Run a deployment whose language models real vLLM serves."""
    registry = folder / "registry"
    fill_registry(registry, folder)
    types = folder / "types.json"
    # The larger one is for `wait_for_launcher`.
    sizes = {"CPU": "4GiB", "CPU_LARGE": "64GiB"}
    types.write_text(
        json.dumps({name: {"cpus": 1, "memory": size} for name, size in sizes.items()})
    )
    settings = {
        "MODELPLANE_REGISTRY": f"directory:{registry}",
        "MODELPLANE_LAUNCHER_VLLM": str(vllm_environment()),
        "MODELPLANE_WORKLOAD_TYPES": str(types),
        "MODELPLANE_START_DEADLINE_SECONDS": str(START_SECONDS),
        "MODELPLANE_DEPLOY_SECONDS": str(START_SECONDS),
        "MODELPLANE_CALIBRATION_SECONDS": "1",
    }
    with run_system(folder / "data", settings=settings) as system:
        with Rest(system) as rest:
            wait_for_launcher(rest, PROBE)
            for name in MODELS:
                entity = hosted(name, name_of(name), scale_to_zero_enabled=False)
                rest.create({"name": name, "config": {"served_entities": [entity]}})
            for name in MODELS:
                endpoint = settled(rest, name, START_SECONDS)
                assert endpoint["state"]["ready"] == "READY", log_of(rest, name)[-8_000:]
        yield system


def log_of(rest: Rest, name: str) -> str:
    return str(rest.call("GET", f"{ENDPOINTS}/{name}/served-models/{name}/logs")["logs"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with deployment(tmp_path_factory.mktemp("vllm")) as system:
        yield system


@pytest.fixture
def api(running: System) -> Iterator[Rest]:
    with Rest(running) as rest:
        yield rest


def engine_of(name: str) -> Server:
    """Return the server of a model's engine, as only its replica can ask it."""
    [pid] = engine_processes(name)
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    [key] = [one.partition(b"=")[2] for one in variables if one.startswith(b"VLLM_API_KEY=")]
    return Server(f"/proc/{pid}/cwd/engine.sock", key.decode(), name_of(name))


def engine_processes(name: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        words = words_of(folder)
        if "--uds" in words and f"--served-model-name={name_of(name)}" in words:
            found.append(int(folder.name))
    return found


def words_of(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text().split("\0")
    except OSError:
        return []


def through_us(api: Rest, name: str, body: Json) -> Json:
    answer = api.query(name, body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def comparable(answer: Json) -> Json:
    """Return what two answers to the same question have in common."""
    return {key: value for key, value in answer.items() if key not in ("id", "created")}


def assert_alike(one: Any, other: Any) -> None:
    """Compare two answers; of a batch of another size the last bits are others."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=0.02)
    else:
        assert one == other


ASKED: dict[str, tuple[str, Json]] = {
    "chat": (CHAT, {"messages": HELLO, "max_tokens": 4}),
    "probabilities": (
        CHAT,
        {"messages": HELLO, "max_tokens": 2, "logprobs": True, "top_logprobs": 3},
    ),
    "chosen alone": (CHAT, {"messages": HELLO, "max_tokens": 2, "logprobs": True}),
    "completion": (COMPLETIONS, {"prompt": LONG, "max_tokens": 3}),
    "alternatives": (COMPLETIONS, {"prompt": "Hi", "max_tokens": 2, "logprobs": 2}),
    "several": (CHAT, {"messages": HELLO, "max_tokens": 3, "n": 2, "seed": 7, "temperature": 1}),
    "stop": (CHAT, {"messages": HELLO, "max_tokens": 40, "stop": list("abcdefghijklmnop")}),
    "object": (
        CHAT,
        {"messages": HELLO, "max_tokens": 2, "response_format": {"type": "json_object"}},
    ),
    "tools": (CHAT, {"messages": HELLO, "max_tokens": 2, "tools": TOOLS}),
}


@pytest.mark.parametrize("what", ASKED)
def test_an_answer_is_the_engines_own(api: Rest, what: str) -> None:
    path, question = ASKED[what]
    question = {"temperature": 0, **question}
    # Of what was read before, all the same is kept.
    through_us(api, "chat", question)
    ours = through_us(api, "chat", question)
    own = engine_of("chat").json(path, question)
    assert_alike(comparable(ours), comparable(own))


def test_what_was_read_before_is_told_as_cached(api: Rest) -> None:
    question = {"prompt": "Once more: " + LONG, "max_tokens": 1}
    told = [through_us(api, "chat", question)["usage"] for _ in range(2)]
    first, second = [usage["prompt_tokens_details"]["cached_tokens"] for usage in told]
    assert first < second < told[1]["prompt_tokens"]


def test_an_answer_has_the_form_that_was_asked(api: Rest) -> None:
    question = {"messages": HELLO, "max_tokens": 40, "response_format": AS_SCHEMA}
    said = through_us(api, "chat", question)["choices"][0]
    written = said["message"]["content"]
    # It may write spaces, up to the limit.
    assert written.lstrip().startswith("{") or not written.strip()
    assert said["finish_reason"] == "length" or json.loads(written)["a"] in (1, 2)


@pytest.mark.parametrize(("seed", "same"), [(5, True), (6, False)])
def test_a_seed_chooses_the_words(api: Rest, seed: int, *, same: bool) -> None:
    question = {"messages": HELLO, "max_tokens": 24, "temperature": 1}
    said = [
        through_us(api, "chat", question | {"seed": one})["choices"][0]["message"]["content"]
        for one in (5, seed)
    ]
    assert (said[0] == said[1]) is same


def chunks_in(body: bytes) -> list[Json]:
    *events, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


@pytest.mark.parametrize("count", [1, 2])
def test_a_stream_says_what_the_whole_answer_does(api: Rest, count: int) -> None:
    question = {"messages": HELLO, "max_tokens": 6, "seed": 3, "n": count, "logprobs": True}
    whole = through_us(api, "chat", question)
    chunks = chunks_in(api.query("chat", question | {"stream": True}).content)
    for choice in whole["choices"]:
        parts = [
            part
            for chunk in chunks
            for part in chunk["choices"]
            if part["index"] == choice["index"]
        ]
        assert (
            "".join(part["delta"].get("content") or "" for part in parts)
            == choice["message"]["content"]
        )
        known = [one for part in parts if part["logprobs"] for one in part["logprobs"]["content"]]
        assert_alike(known, choice["logprobs"]["content"])
        assert parts[-1]["finish_reason"] == choice["finish_reason"]
    told = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert told[-1]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert "cached_tokens" in told[-1]["prompt_tokens_details"]
    if count == 1:
        # Each chunk tells it.
        assert len(told) == len(chunks)


def test_a_logged_model_completes_and_does_not_chat(api: Rest) -> None:
    question = {"prompt": "Hi", "max_tokens": 3, "temperature": 0}
    ours = through_us(api, "completions", question)
    assert_alike(comparable(ours), comparable(engine_of("completions").json(COMPLETIONS, question)))
    refused = api.query("completions", {"messages": HELLO})
    assert refused.status_code == 400
    assert "must have prompt" in refused.json()["message"]
    build_logs = api.call("GET", f"{ENDPOINTS}/completions/served-models/completions/build-logs")
    assert "vLLM serves the model's folder as it is." in build_logs["logs"]


def test_a_logged_embedder_embeds(api: Rest) -> None:
    ours = through_us(api, "embeddings", {"input": ["a cat", "cats sat on a mat ."]})
    own = engine_of("embeddings").json(EMBEDDINGS, {"input": ["a cat", "cats sat on a mat ."]})
    assert_alike(comparable(ours), comparable(own))
    for one in ours["data"]:
        assert sum(number * number for number in one["embedding"]) == pytest.approx(1, abs=1e-3)
    coded = through_us(api, "embeddings", {"input": "a cat", "encoding_format": "base64"})
    assert isinstance(coded["data"][0]["embedding"], str)


REFUSED: list[tuple[str, Json, str]] = [
    ("chat", {"prompt": "word " * 600}, "has at least 513 tokens, and the model's context window"),
    ("chat", {"prompt": "x" * 50_000}, "has 50000 characters, and the model's context window"),
    ("chat", {"prompt": "a" * 512, "max_tokens": 1}, "there is no room for an answer"),
    ("chat", {"messages": HELLO, "max_tokens": 1_000}, "max_tokens=1000 cannot be greater than"),
    ("chat", {"messages": HELLO, "n": 2, "temperature": 0}, "n must be 1 when using greedy"),
    ("chat", {"messages": HELLO, "top_logprobs": 2}, "top_logprobs needs logprobs"),
    ("chat", {"messages": HELLO, "top_k": 10**20}, "top_k must be"),
    ("chat", {"messages": HELLO, "stop": ""}, "stop cannot contain an empty string"),
    ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages.0."),
    ("chat", {"messages": HELLO, "logit_bias": {"99999": 1}}, "out-of-vocab"),
    (
        "chat",
        {
            "messages": HELLO,
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "no"}}},
        },
        "Invalid type: no",
    ),
    ("completions", {"prompt": ""}, "prompt"),
    ("embeddings", {"input": "cat " * 600}, "the model's context window holds"),
]


@pytest.mark.parametrize("how", [{}, {"stream": True}])
@pytest.mark.parametrize(("name", "question", "told"), REFUSED)
def test_what_it_refuses_is_a_clear_400(
    api: Rest, name: str, question: Json, told: str, how: Json
) -> None:
    if name == "embeddings" and how:
        how = {}
    answer = api.query(name, {**question, **how})
    assert answer.status_code == 400, answer.text
    message = answer.json()["message"]
    assert told in message
    assert "validation error" not in message


def test_pictures_are_not_fetched(api: Rest) -> None:
    picture = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}}
    answer = api.query("chat", {"messages": [{"role": "user", "content": [picture]}]})
    assert answer.status_code == 400
    assert "not a multimodal model" in answer.json()["message"]


@pytest.mark.usefixtures("running")
def test_the_emulator_answers_as_the_real_one_does(tmp_path: Path) -> None:
    differing = []
    for name in MODELS:
        [pid] = engine_processes(name)
        words, real = words_of(Path(f"/proc/{pid}")), engine_of(name)
        arguments = words[words.index("serve") + 1 : words.index("--uds")]
        with questions.emulated(tmp_path, arguments, name_of(name)) as emulator:
            differing += questions.differences(real, emulator, MODELS[name][0])
    assert differing == []


def test_the_deployment_tells_what_the_engine_does(api: Rest) -> None:
    through_us(api, "chat", {"messages": HELLO, "max_tokens": 5})

    def page() -> str:
        return str(api.send("GET", f"{ENDPOINTS}/chat/metrics").text)

    wanted = ('kind="generation"', 'kind="prompt"', 'result="queries"', 'result="hits"')
    until(lambda: all(counted(page(), words) > 0 for words in wanted))


def counted(page: str, words: str) -> float:
    lines = [line for line in page.splitlines() if "engine_" in line and words in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_who_leaves_a_stream_ends_the_engines_work(running: System) -> None:
    engine = engine_of("completions")
    written = engine.metric("generation_tokens_total")
    # For a minute and more.
    question = {"prompt": "Hi", "max_tokens": ENDLESS, "stream": True, "logit_bias": {"2": -100}}
    url = f"{running.url}/serving-endpoints/completions/invocations"
    with requests.post(url, json=question, headers=running.headers, stream=True) as answer:
        next(answer.iter_content(1))
    until(lambda: engine.metric("num_requests_running") == 0, 600)
    assert engine.metric("generation_tokens_total") - written < ENDLESS


@pytest.mark.parametrize("part", ["VLLM::EngineCore", "serve"])
def test_an_engine_that_is_killed_comes_again(api: Rest, part: str) -> None:
    [pid] = engine_processes("completions")
    os.kill(pid if part == "serve" else below(pid, part), signal.SIGKILL)
    until(lambda: engine_processes("completions") not in ([], [pid]), START_SECONDS)
    question = {"prompt": "Hi", "max_tokens": 2}
    until(lambda: api.query("completions", question).status_code == 200, START_SECONDS)


def below(pid: int, title: str) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    [found] = [int(one) for one in children if title in " ".join(words_of(Path(f"/proc/{one}")))]
    return found
