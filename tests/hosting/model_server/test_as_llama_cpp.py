"""A replica's answers beside llama.cpp's own, field by field."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xllamacpp import CommonParams, Server

from tests.hosting.replica import Replica, serving_with
from tests.hosting.weights import model_file

CONTEXT, SLOTS = 1024, 2
CHAT = {"messages": [{"role": "user", "content": "Name two colours."}], "max_tokens": 8}
TEXT = {"prompt": "1, 2, 3, 4,", "max_tokens": 8}
SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
STRUCTURED = {"type": "json_schema", "json_schema": {"name": "one", "schema": SCHEMA}}
GREEDY, SAMPLED = {"temperature": 0}, {"temperature": 0.8, "seed": 7}
# What is another one in each answer; the engine's own beside OpenAI's API; what was kept before.
VOLATILE = {"id", "created", "timings", "model", "prompt_tokens_details"}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    options = {"engine": "llama_cpp", "task": "llm/v1/chat", "name": "smol"}
    sizes = {"concurrency": str(SLOTS), "context-tokens": str(CONTEXT)}
    given = [word for name, value in {**options, **sizes}.items() for word in (f"--{name}", value)]
    folder = tmp_path_factory.mktemp("replica")
    with serving_with(Path(sys.executable), model_file(), folder, *given) as started:
        yield started


@pytest.fixture(scope="module")
def engine() -> Any:
    """Give the engine itself, loaded as a replica loads it."""
    params = CommonParams()
    params.model.path = str(model_file())
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    params.n_parallel, params.n_ctx = SLOTS, CONTEXT * SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return Server(params)


def asker(engine: Any, question: dict[str, Any]) -> Any:
    chats = "messages" in question
    return engine.handle_chat_completions if chats else engine.handle_completions


def without(value: Any, names: set[str]) -> Any:
    """Return a value with its numbers rounded, and without some fields, wherever they are."""
    if isinstance(value, dict):
        return {key: without(one, names) for key, one in value.items() if key not in names}
    if isinstance(value, list):
        return [without(one, names) for one in value]
    return round(value, 3) if isinstance(value, float) else value


@pytest.mark.parametrize(
    "question",
    [
        CHAT | GREEDY,
        CHAT | SAMPLED,
        CHAT | GREEDY | {"logprobs": True, "top_logprobs": 3},
        CHAT | GREEDY | {"response_format": STRUCTURED, "max_tokens": 40},
        CHAT | SAMPLED | {"n": 2},
        CHAT | GREEDY | {"stop": ["e"]},
        CHAT | GREEDY | {"logit_bias": {"2": -100}, "frequency_penalty": 0.5},
        TEXT | GREEDY,
        TEXT | SAMPLED | {"n": 2, "stop": ","},
    ],
    ids=lambda question: ",".join(sorted(question)),
)
def test_an_answer_has_all_that_the_engines_has(
    replica: Replica, engine: Any, question: dict[str, Any]
) -> None:
    own = asker(engine, question)(dict(question))
    ours = replica.ask(question).json
    # OpenAI's tokens have no number, which the engine gives them.
    assert without(ours, VOLATILE) == without(own, VOLATILE)
    assert ours["model"] == "smol"


def test_probabilities_of_a_completion_are_the_engines_in_openais_form(
    replica: Replica, engine: Any
) -> None:
    question = TEXT | GREEDY | {"logprobs": 2}
    [own] = engine.handle_completions(dict(question))["choices"]
    answer: Any = replica.ask(question).json
    [ours] = answer["choices"]
    tokens = without(own["logprobs"]["content"], set())
    found = without(ours["logprobs"], set())
    assert found["tokens"] == [one["token"] for one in tokens]
    assert found["token_logprobs"] == [one["logprob"] for one in tokens]
    for alternatives, one in zip(found["top_logprobs"], tokens, strict=True):
        assert alternatives == {each["token"]: each["logprob"] for each in one["top_logprobs"]}
    assert without(ours, {"logprobs"}) == without(own, {"logprobs"})


@pytest.mark.parametrize(
    "question",
    [CHAT | GREEDY | {"logprobs": True, "top_logprobs": 2}, TEXT | GREEDY],
    ids=["chat", "text"],
)
def test_the_chunks_of_a_stream_are_the_engines(
    replica: Replica, engine: Any, question: dict[str, Any]
) -> None:
    question = question | {"stream": True}
    own: list[Any] = []

    def take(chunk: Any) -> bool:
        own.append(chunk)
        return False

    asker(engine, question)(question | {"stream_options": {"include_usage": True}}, take)
    events = replica.ask(question).body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    ours = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    usage = own[-1]["usage"]
    # The usage is in each chunk that has counted, and not in one of its own.
    expected = [without(chunk, VOLATILE | {"usage"}) for chunk in own if chunk["choices"]]
    assert [without(chunk, VOLATILE | {"usage"}) for chunk in ours] == expected
    assert without(ours[-1]["usage"], VOLATILE) == without(usage, VOLATILE)
    counted = [chunk["usage"]["completion_tokens"] for chunk in ours if "usage" in chunk]
    assert counted == sorted(counted)
    assert len({chunk["id"] for chunk in ours}) == 1
