"""The server of a replica whose model vLLM serves: an emulator that is as strict as vLLM is."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import EngineOptions, GroupSpec, ModelSource
from modelserving.launcher.v1.launcher_service_pb2 import ReplicaSize as Size

from modelplane.launcher.engines.vllm import Vllm
from tests.emulators.vllm import install
from tests.hosting.paced import PACE
from tests.hosting.replica import Replica, engine_of, serving_with

QUESTION = {"messages": [{"role": "user", "content": "Count " * 40}], "max_tokens": 3}
WINDOW = 512
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def model(folder: Path, task: str, **metadata: object) -> Path:
    """Save what vLLM finds of a model, and return its folder."""
    weights = folder / "model"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text(json.dumps({"max_position_embeddings": WINDOW}))
    (weights / "tokenizer_config.json").write_text("{}")
    document = {
        "flavors": {"transformers": {"model_binary": "model"}},
        "metadata": {"task": task, **metadata},
    }
    (folder / "MLmodel").write_text(json.dumps(document))  # JSON is YAML
    return folder


@contextlib.contextmanager
def replica_of(
    folder: Path, task: str, *options: str, pace: float = 0, **metadata: object
) -> Iterator[Replica]:
    engine = Vllm(install(folder / "environment"))
    spec = GroupSpec(
        model=ModelSource(name="ml.llm.counter"),
        size=Size(cpus=1, memory_bytes=4 << 30, concurrency=2),
        engine_options=EngineOptions(
            task=task, context_tokens=WINDOW, unnormalized=metadata.get("normalized") is False
        ),
    )
    files = model(folder / "files", task, **metadata)
    prepared = asyncio.run(engine.prepare(files, spec, lambda _: None, lambda _, __: None))
    told = (*options, *engine.options(spec), *prepared.told)
    paced = {PACE: str(pace)}
    with serving_with(Path(sys.executable), prepared.model, folder, *told, **paced) as replica:
        yield replica


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("chat")
    with replica_of(folder, "llm/v1/chat", "--calibration-seconds", "0.2") as started:
        yield started


def chunks_of(replica: Replica, question: dict[str, object]) -> list[dict[str, object]]:
    body = replica.ask({**question, "stream": True}).body
    *events, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def test_it_is_measured_before_it_is_asked(replica: Replica) -> None:
    assert float(replica.ready["tokens_per_second"]) > 0  # type: ignore[arg-type]


def test_an_answer_is_the_engines_own(replica: Replica) -> None:
    answer = replica.ask({**QUESTION, "logprobs": True, "top_logprobs": 1, "max_tokens": 1}).json
    one = {"token": " 0", "logprob": -0.5, "bytes": [32, 48]}
    choice = answer["choices"][0]  # type: ignore[index]
    assert choice["message"] == {
        "role": "assistant",
        "content": " 0",
        **dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning")),
    }
    assert choice["logprobs"] == {"content": [{**one, "top_logprobs": [one]}]}
    assert (answer["model"], answer["service_tier"]) == ("ml.llm.counter", None)


def test_what_was_read_before_is_told_as_cached(replica: Replica) -> None:
    question = {"prompt": "one " * 40, "max_tokens": 2}
    asked = [replica.ask(question).json["usage"] for _ in range(2)]
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in asked]  # type: ignore[index]
    assert cached == [0, 32]
    told = chunks_of(replica, question)[-1]["usage"]
    assert told["prompt_tokens_details"] == {"cached_tokens": 32}  # type: ignore[index]


def test_each_chunk_tells_the_usage_so_far(replica: Replica) -> None:
    chunks = chunks_of(replica, QUESTION)
    said = [chunk["usage"]["completion_tokens"] for chunk in chunks]  # type: ignore[index]
    assert said == [0, 1, 2, 3]
    assert all(chunk["choices"] for chunk in chunks)
    options = {"stream_options": {"include_usage": True}}
    assert chunks_of(replica, QUESTION | options)[-1]["choices"] == []


def test_several_answers_have_one_usage(replica: Replica) -> None:
    chunks = chunks_of(replica, QUESTION | {"n": 2, "seed": 1})
    told = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    assert [usage["completion_tokens"] for usage in told] == [6]  # type: ignore[index]
    assert len(replica.ask(QUESTION | {"n": 2}).json["choices"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (
            {"prompt": "word " * 600},
            "has at least 513 tokens, and the model's context window holds",
        ),
        (
            {"prompt": "x" * 50_000},
            "has 50000 characters, and the model's context window holds 512",
        ),
        ({"prompt": "one " * WINDOW, "max_tokens": 1}, "there is no room for an answer"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            ".content: Input should be a valid string; Input should be iterable.",
        ),
        ({"prompt": "x", "max_tokens": 1000}, "max_tokens=1000 cannot be greater than max_model"),
        (QUESTION | {"n": 2, "temperature": 0}, "n must be 1 when using greedy sampling"),
        (QUESTION | {"tools": TOOLS}, "cannot call tools"),
        (QUESTION | {"top_logprobs": 3}, "top_logprobs needs logprobs"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"stream": True}])
def test_what_it_refuses_is_a_clear_400(
    replica: Replica, question: dict[str, object], told: str, how: dict[str, bool]
) -> None:
    answer = replica.ask({**question, **how})
    assert answer.status == 400
    assert told in str(answer.json["message"])


def test_a_schema_needs_no_name(replica: Replica) -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert replica.ask(QUESTION | {"response_format": wanted}).status == 200


def test_tools_are_passed_where_it_knows_how_calls_are_read(tmp_path: Path) -> None:
    with replica_of(tmp_path, "llm/v1/chat", tool_call_parser="hermes") as replica:
        assert replica.ask(QUESTION | {"tools": TOOLS}).status == 200
        ended = replica.end()
    assert ended == 0


@pytest.mark.parametrize("metadata", [{}, {"normalized": False}])
def test_embeddings_are_as_long_as_is_said(tmp_path: Path, metadata: dict[str, bool]) -> None:
    with replica_of(tmp_path, "llm/v1/embeddings", **metadata) as replica:
        answer = replica.ask({"input": ["a", "bcd"], "instruction": "Find:"}).json
    vectors = [one["embedding"] for one in answer["data"]]  # type: ignore[attr-defined]
    if not metadata:
        assert [sum(one * one for one in vector) for vector in vectors] == pytest.approx([1, 1])
    else:
        assert vectors == [[7.0, 1.0, 0.0, 0.0], [9.0, 1.0, 0.0, 0.0]]


def test_what_it_cannot_load_is_not_ready(tmp_path: Path) -> None:
    with replica_of(tmp_path, "llm/v1/chat", tool_call_parser="nothing") as replica:
        assert "ended with status 1 before it was ready" in str(replica.ready["error"])
        assert "invalid tool call parser: nothing" in replica.log.read_text()


def engine_process(replica: Replica) -> int:
    pid = replica.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_the_server_ends_with_its_engine(tmp_path: Path) -> None:
    with replica_of(tmp_path, "llm/v1/chat") as replica:
        os.kill(engine_process(replica), signal.SIGKILL)
        assert replica.process.wait(60) == 1
        assert "the model's server has ended with status -9" in replica.log.read_text()


@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGKILL])
@pytest.mark.parametrize("stream", [False, True])
def test_nobody_is_blamed_for_an_engine_that_dies_while_it_answers(
    tmp_path: Path, how: signal.Signals, *, stream: bool
) -> None:
    with replica_of(tmp_path, "llm/v1/chat", pace=0.5) as replica:
        with contextlib.closing(replica.connect()) as asking:
            question = json.dumps({**QUESTION, "max_tokens": 400, "stream": stream})
            asking.request("POST", "/invocations", question, replica.headers)
            # What writes is at it.
            engine_of(replica, lambda found: found["requests_running"] == 1)
            if stream:
                answer = asking.getresponse()
                assert answer.read(6) == b"data: "
            os.kill(engine_process(replica), how)
            # The worker sees that the process has ended, and may ask another one.
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                (answer if stream else asking.getresponse()).read()
        assert replica.process.wait(60) == 1


def test_who_knows_the_token_is_told_how_busy_vllm_is(tmp_path: Path) -> None:
    with replica_of(tmp_path, "llm/v1/chat") as replica:
        question = {"prompt": "one " * 40, "max_tokens": 3}
        for _ in range(2):
            replica.ask(question)
        figures = engine_of(replica, lambda found: found["generation_tokens"] == 6)
        assert figures == {
            "requests_running": 0,
            "requests_waiting": 0,
            "kv_cache_usage": 0,
            "prompt_tokens": 80,
            "generation_tokens": 6,
            "prefix_cache_queries": 80,
            "prefix_cache_hits": 32,
        }
        with contextlib.closing(replica.connect()) as stranger:
            stranger.request("GET", "/ping")
            assert json.loads(stranger.getresponse().read()) == {"status": "healthy"}
