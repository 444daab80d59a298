"""A real language model in the server of a replica, without the rest of a deployment."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelplane.launcher.model_server.llama_cpp import LlamaCpp, Options
from tests.hosting.replica import Replica, engine_of, serving_with
from tests.hosting.weights import model_file

QUESTION = {"messages": [{"role": "user", "content": "Count to a hundred."}], "temperature": 0}


def smollm2(folder: Path, task: str, *options: str) -> contextlib.AbstractContextManager[Replica]:
    engine = ("--engine", "llama_cpp", "--task", task, "--name", "smol", "--concurrency", "2")
    return serving_with(Path(sys.executable), model_file(), folder, *engine, *options)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with smollm2(tmp_path_factory.mktemp("chat"), "llm/v1/chat") as started:
        yield started


def test_who_knows_the_token_is_told_how_busy_llama_cpp_is(replica: Replica) -> None:
    # The first test: figures are some seconds old, and nobody has asked this replica anything yet.
    before = engine_of(replica, lambda found: "prompt_tokens" in found)
    usage = [replica.ask(QUESTION | {"max_tokens": 3}).json["usage"] for _ in range(2)]
    prompts = sum(one["prompt_tokens"] for one in usage)  # type: ignore[index]
    kept = sum(one["prompt_tokens_details"]["cached_tokens"] for one in usage)  # type: ignore[index]
    assert kept > 0

    expected = {
        "prompt_tokens": prompts,
        "prefix_cache_queries": prompts,
        "prefix_cache_hits": kept,
        "generation_tokens": 6,
        "requests_running": 0,
        "kv_cache_usage": 0,
    }

    def is_so(found: dict[str, float]) -> bool:
        # Figures may be of a moment in the middle of an answer.
        return all(found[name] - before[name] == count for name, count in expected.items())

    engine_of(replica, is_so)


def test_the_engine_stops_for_a_caller_who_leaves_its_stream(replica: Replica) -> None:
    with contextlib.closing(replica.connect()) as connection:
        body = json.dumps(QUESTION | {"stream": True, "max_tokens": 3000})
        connection.request("POST", "/invocations", body, replica.headers)
        assert connection.getresponse().readline().startswith(b"data: {")
    # Much sooner than 3000 tokens take, both slots are free.
    deadline = time.monotonic() + 60
    while replica.ask(b"", "GET", "/ping").headers["x-modelplane-load"] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert replica.ask(QUESTION | {"max_tokens": 2}).status == 200


def test_structured_output_has_the_form_that_was_asked_for(replica: Replica) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "one", "schema": schema}}
    answer = replica.ask(QUESTION | {"response_format": wanted, "max_tokens": 60}).json
    said = json.loads(answer["choices"][0]["message"]["content"])  # type: ignore[index]
    assert said["n"] in (1, 2)


def test_an_object_is_written_where_one_is_asked_for(replica: Replica) -> None:
    asked = QUESTION | {"response_format": {"type": "json_object"}, "max_tokens": 12}
    answer = replica.ask(asked).json
    assert answer["choices"][0]["message"]["content"].startswith("{")  # type: ignore[index]


def test_a_schema_that_is_none_is_refused(replica: Replica) -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "zork"}}}
    answer = replica.ask(QUESTION | {"response_format": wanted, "max_tokens": 2})
    assert answer.status == 400
    assert "zork" in str(answer.json["message"])


def test_a_prompt_that_was_read_before_is_told_as_cached(replica: Replica) -> None:
    replica.ask(QUESTION | {"max_tokens": 1})
    usage = replica.ask(QUESTION | {"max_tokens": 1}).json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0  # type: ignore[index]


def test_several_answers_stop_where_they_are_told_to(replica: Replica) -> None:
    answer = replica.ask({"prompt": "1, 2, 3, 4,", "n": 2, "seed": 7, "stop": ",", "max_tokens": 9})
    assert len(answer.json["choices"]) == 2  # type: ignore[arg-type]
    assert all("," not in one["text"] for one in answer.json["choices"])  # type: ignore[attr-defined]


def test_a_model_that_makes_no_embeddings_is_not_loaded_for_them(tmp_path: Path) -> None:
    with smollm2(tmp_path, "llm/v1/embeddings") as refused:
        assert "Pooling type" in str(refused.ready["error"])


def test_embeddings_of_another_size_than_is_said_are_not_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = SimpleNamespace(
        model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace()
    )
    found = {"data": [{"embedding": [0.1, 0.2, 0.3]}]}
    server = SimpleNamespace(handle_embeddings=lambda _: found)
    engine = SimpleNamespace(CommonParams=lambda: params, Server=lambda _: server)
    monkeypatch.setitem(sys.modules, "xllamacpp", engine)
    asked = Options("x.gguf", "x", "llm/v1/embeddings", 1, 512, 4, normalized=True, dimensions=4)
    with pytest.raises(ValueError, match="have 3 dimensions, and are said to have 4"):
        LlamaCpp(asked)
